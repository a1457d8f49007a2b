"""The queue of all future events of a virtual world, in integer nanoseconds.

Simultaneous events are ordered by a canonical key (the kind, the owner, the owner's own count),
never by insertion. So a run that jumps over quiet stretches, and inserts in another order, equals
one that does not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from adpkv.core.ids import LAST_NS
from adpkv.errors import EndOfTimeError
from adpkv.heaps import EventHeap, pop_event, push_event
from adpkv.subclassing import mypyc_attr

__all__ = [
    "COORDINATOR_WAKE",
    "GROUP_WAKE",
    "KINDS",
    "LINK",
    "MESSAGES",
    "RANK_WAKE",
    "Action",
    "Entry",
    "EventQueue",
]

# The order at one instant: what arrives is there before anybody reads it.
MESSAGES: Final = 0
LINK: Final = 1
COORDINATOR_WAKE: Final = 2
RANK_WAKE: Final = 3
"""A rank that waited alone goes on."""
GROUP_WAKE: Final = 4
KINDS: Final = 8
"""Room for all kinds, a power of two: an entry's kind may have a place before it, as a multiple."""

Action = Callable[[Any], None]

Entry = tuple[int, int, int, int, Action, Any]
"""(time, kind, owner, number, action, its argument) of an event. A queue that chooses the order of
simultaneous events adds a multiple of `KINDS` to the kind."""


@mypyc_attr(allow_interpreted_subclasses=True)
class EventQueue:
    """A heap of (time, kind, owner, number) with the action to perform. `now` is the world's
    clock."""

    __slots__ = ("_halted", "_heap", "now", "outside")

    def __init__(self) -> None:
        self.now = 0
        self.outside = 0
        """Entries that are not a group's own wake-up: while there are none, nothing can arrive."""
        self._heap = EventHeap()
        self._halted = False

    def __len__(self) -> int:
        return len(self._heap)

    def clear(self) -> None:
        """Drop all events; `now` stays."""
        self._heap.clear()
        self.outside = 0

    def clock(self) -> int:
        """Nanoseconds since the run began."""
        return self.now

    def add(
        self, at_ns: int, kind: int, owner: int, number: int, action: Action, what: Any
    ) -> None:
        """Call `action(what)` at `at_ns`. Among simultaneous events of a kind, `owner` and `number`
        (the owner's own count of its events) decide the order, whatever other owners add."""
        if kind != GROUP_WAKE:
            self.outside += 1
        push_event(self._heap, (at_ns, kind, owner, number, action, what))

    def run(self, most: int = 1) -> int:
        """Advance the time to the next event, and perform it; and then the next, at most so many,
        until nothing can arrive any more or the queue is halted. Returns how many.

        Raises:
            EndOfTimeError: one is later than the longest run allows.
        """
        heap, made = self._heap, 0
        while True:
            at_ns, kind, _, _, action, what = pop_event(heap) if heap else self._next()
            if at_ns > LAST_NS:
                raise EndOfTimeError(
                    f"nothing is left to do before {LAST_NS / 1e9 / 3600:g} h of virtual time,"
                    f" which is the longest run (now {self.now / 1e9:.6f} s): costs, times or"
                    " limits are too long"
                )
            self.now = at_ns
            if kind % KINDS != GROUP_WAKE:
                self.outside -= 1
            made += 1
            action(what)
            if made == most or not self.outside or self._halted:
                return made

    def halt(self) -> None:
        """The run is over: perform no more events than the present one."""
        self._halted = True

    def _next(self) -> Entry:
        """Remove and return the next event, where it is not in the heap of this class."""
        return pop_event(self._heap)

    def arrival_ns(self, sender: int, to: int, number: int, latency_ns: int) -> int:
        """When a message that is sent now arrives; `number` is its sender's count."""
        return self.now + latency_ns
