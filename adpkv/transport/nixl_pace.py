"""How many descriptors the next write over NIXL has, so that posting holds up no iteration.

To post a write takes 3 to 9 µs for each of its descriptors on memory of a device, by machine and by
what its process has done before; several times as much after a pause, when its code has left the
caches. So it is measured by the transport's own clock, and the next write has as many as fit into
what is left of a limit of time. Many descriptors in few writes cost least: a write has its own cost
too, and one more poll.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from adpkv.transport.posting import NO_LIMIT

__all__ = ["LEAST", "PAUSE_NS", "WRITE_NS", "Pace"]

WRITE_NS: Final = 15_000
"""What a write costs besides its descriptors: to prepare it, to post it, its state."""

WARM_NS: Final = 6_000
COLD_NS: Final = 10_000
"""What a descriptor is taken to cost before any was measured; `COLD_NS` after a pause."""

LEAST_NS: Final = 500
"""Less than it is ever taken to cost."""

PAUSE_NS: Final = 1_000_000
"""After so long without a write the code has left the caches."""

LEAST: Final = 8
"""The first write after a poll may have so many whatever they cost: something always moves. A later
one of fewer waits for the next poll, unless no more are left of its transfer."""


class Pace:
    """The time of one rank's posting. `enter` and `leave` go around each call that may post.

    Args:
        clock: nanoseconds.
        limit_ns: how long posting may take between two polls, with what a poll does before it;
            NO_LIMIT: nothing is measured, and only `most` counts.
        most: how many descriptors a write has at most.
    """

    def __init__(self, clock: Callable[[], int], limit_ns: int, most: int) -> None:
        self._clock, self._limit_ns, self._most = clock, limit_ns, most
        self._each_ns = [WARM_NS, COLD_NS]
        """What a descriptor costs, as measured; the second after a pause."""
        self._spent_ns = self._writes = 0
        """Since the last poll began."""
        self._began_ns = 0
        """When this call would have begun, had the calls before it in this iteration come right
        before it."""
        self._asked_ns = 0
        """When it was last asked how much may be posted."""
        self._posted_ns = -PAUSE_NS
        """When the last write was posted."""
        self.is_measured = limit_ns < NO_LIMIT

    def renew(self) -> None:
        """A poll begins: time may be spent again."""
        self._spent_ns = self._writes = 0

    def enter(self) -> None:
        """A call that may post begins."""
        if self.is_measured:
            self._began_ns = self._clock() - self._spent_ns

    def leave(self) -> None:
        """It ends."""
        if self.is_measured:
            self._spent_ns = self._clock() - self._began_ns

    def room(self, rest: int) -> int:
        """How many descriptors the next write may have, of `rest` that its transfer has left; 0: no
        write before the next poll."""
        most = rest if rest < self._most else self._most
        if not self.is_measured:
            return most
        now_ns = self._asked_ns = self._clock()
        left_ns = self._began_ns + self._limit_ns - now_ns - WRITE_NS
        fit = left_ns // self._each_ns[now_ns - self._posted_ns >= PAUSE_NS]
        if fit >= most:
            return most
        if not self._writes:
            return min(most, max(fit, LEAST))
        return fit if fit >= LEAST else 0

    def posted(self, descriptors: int) -> None:
        """A write of so many was posted, right after `room` was asked for."""
        if not self.is_measured:
            return
        now_ns = self._clock()
        self._writes += 1
        if descriptors >= LEAST:
            cold = self._asked_ns - self._posted_ns >= PAUSE_NS
            known_ns = self._each_ns[cold]
            found_ns = max((now_ns - self._asked_ns - WRITE_NS) // descriptors, LEAST_NS)
            # At once to what is slower, little by little to what is faster: the limit is kept where
            # it varies. But what was much slower was something else: another process had the core.
            if found_ns > known_ns:
                self._each_ns[cold] = min(found_ns, known_ns * 3 // 2)
            else:
                self._each_ns[cold] -= (known_ns - found_ns) // 6
        self._posted_ns = now_ns
