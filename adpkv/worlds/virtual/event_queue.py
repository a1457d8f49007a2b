"""What will happen when: one queue of events, in integer nanoseconds.

Simultaneous events are ordered by a canonical key (what it is, whose it is, the how-manieth of its
owner), never by insertion: so a run that jumps over quiet stretches, and inserts in another order,
equals one that does not.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any, Final

from adpkv.core.ids import LAST_NS
from adpkv.errors import EndOfTimeError

__all__ = ["COORDINATOR_WAKE", "GROUP_WAKE", "LINK", "MESSAGES", "RANK_WAKE", "EventQueue"]

# The order at one instant: what arrives is there before whoever looks at it looks.
MESSAGES: Final = 0
LINK: Final = 1
COORDINATOR_WAKE: Final = 2
RANK_WAKE: Final = 3
"""A rank that stands still alone goes on."""
GROUP_WAKE: Final = 4

Action = Callable[[Any], None]


class EventQueue:
    """A heap of (time, kind, owner, number) with what is to be done. `now` is the world's clock."""

    __slots__ = ("_heap", "now", "outside")

    def __init__(self) -> None:
        self.now = 0
        self.outside = 0
        """Entries that are not a group's own wake-up: while there are none, nothing can arrive."""
        self._heap: list[tuple[int, int, int, int, Action, Any]] = []

    def __len__(self) -> int:
        return len(self._heap)

    def clear(self) -> None:
        """Nothing of what is left will be done; `now` stays."""
        self._heap.clear()
        self.outside = 0

    def clock(self) -> int:
        """Nanoseconds since the run began."""
        return self.now

    def add(
        self, at_ns: int, kind: int, owner: int, number: int, action: Action, what: Any
    ) -> None:
        """Do `action(what)` at `at_ns`. `owner` and `number`, its own count of such entries, decide
        among simultaneous ones, whoever else adds when."""
        if kind != GROUP_WAKE:
            self.outside += 1
        heapq.heappush(self._heap, (at_ns, kind, owner, number, action, what))

    def step(self) -> None:
        """Do the next thing, and let time jump to it.

        Raises:
            EndOfTimeError: it is beyond the largest time that is one.
        """
        at_ns, kind, _, _, action, what = heapq.heappop(self._heap)
        if at_ns > LAST_NS:
            raise EndOfTimeError(
                f"nothing is left to do before {LAST_NS / 1e9 / 3600:g} h of virtual time, which"
                f" is the longest run (now {self.now / 1e9:.6f} s): costs, times or limits are too"
                " long"
            )
        self.now = at_ns
        if kind != GROUP_WAKE:
            self.outside -= 1
        action(what)
