"""The transfers of one rank that have pieces to be posted over UCX, and when they may be."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns

from adpkv.memory.port import PASSED, Fence
from adpkv.transport.posting import NO_LIMIT, Posted, Posting, PostLimits
from adpkv.transport.ucx_hold_up import HoldUp
from adpkv.transport.ucx_opened import Heads, Opened
from adpkv.transport.ucx_posting import Poster

__all__ = ["Queues"]


class Queues:
    """What is to be sent, and what is to be received, each within bounds of its own.

    Args:
        poster: posts the messages.
        heads: gets to know each transfer of which something is posted.
        hold_up: how much may be posted between two polls.
        limits: the bounds of what is sent.
        written: the fence of what this rank has written so far.
    """

    def __init__(
        self,
        poster: Poster,
        heads: Heads,
        hold_up: HoldUp,
        limits: PostLimits,
        written: Callable[[], Fence],
    ) -> None:
        self._poster, self._heads, self._hold_up = poster, heads, hold_up
        self._written = written
        self.sends: Posting[Opened] = Posting(self._post_pieces, limits)
        # A receive moves no bytes: only the calls take time.
        self.receives: Posting[Opened] = Posting(
            self._post_pieces, PostLimits(NO_LIMIT, NO_LIMIT, limits.budget_descriptors)
        )
        self._refused: list[tuple[Exception, Opened]] = []
        self._waiting: list[tuple[Fence, Opened]] = []
        """Transfers of which nothing is posted before a fence has passed, oldest first."""

    def begin(self, found: Opened) -> bool:
        """Post what the budget allows, as soon as this rank's own writes are done. Returns whether
        UCX has refused anything."""
        fence = self._written()
        if fence is not PASSED and not fence.passed():
            self._waiting.append((fence, found))
        elif found.wanted > 1 or not self._post_whole(found):
            self._of(found).add(found)
        return bool(self._refused)

    def post_more(self) -> bool:
        """A poll: post what a new budget allows. Returns whether UCX has refused anything."""
        self._hold_up.spent_ns = 0
        while self._waiting and self._waiting[0][0].passed():
            _, found = self._waiting.pop(0)
            self._of(found).add(found)
        self.receives.poll()
        self.sends.poll()
        return bool(self._refused)

    def take_refused(self) -> list[tuple[Exception, Opened]]:
        """The errors of posts that UCX refused since the last call, with their transfers."""
        refused, self._refused = self._refused, []
        return refused

    def sent(self, peer: int, nbytes: int) -> None:
        """So many bytes to this peer are not on their way any more."""
        self._hold_up.ended(peer, nbytes, perf_counter_ns())
        self.sends.ended(peer, nbytes)

    def remove(self, found: Opened) -> None:
        """Post no further piece of this transfer."""
        self._of(found).remove(found)
        self._waiting = [(fence, other) for fence, other in self._waiting if other is not found]

    def clear(self) -> None:
        """Post nothing more."""
        self._waiting.clear()
        self.sends.clear()
        self.receives.clear()

    def _of(self, found: Opened) -> Posting[Opened]:
        return self.sends if found.sends else self.receives

    def _post_whole(self, found: Opened) -> bool:
        """Post a transfer of one piece at once, if nothing is before it and the bounds allow;
        returns whether it is handled."""
        posting = self._of(found)
        peer, size = found.to, found.cut.until(1)[0][2]
        if not posting.charge(peer, size):
            return False
        refused = len(self._refused)
        if self._post(found):
            return True
        posting.give_back(peer, size)
        return len(self._refused) > refused

    def _post_pieces(self, found: Opened) -> Posted | None:
        """Post the next pieces of a transfer; None if UCX refuses them, or nothing more may be."""
        posted = len(found.requests)
        nbytes = self._post(found)
        return Posted(nbytes, len(found.requests) - posted) if nbytes else None

    def _post(self, found: Opened) -> int:
        """The same; returns how many bytes were posted."""
        try:
            nbytes = self._poster.post(found)
        except self._poster.error as error:
            self._refused.append((error, found))
            return 0
        if nbytes:
            self._heads.watch(found)
        return nbytes
