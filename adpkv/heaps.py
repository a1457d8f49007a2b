"""Heaps of tuples that begin with integers: Python's own.

The compiled build has `heaps.c` in place of this module, with the same functions: there to compare
two tuples as Python does takes most of the time of a heap. A heap of events is of its own kind
there.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush, heapreplace
from typing import TYPE_CHECKING, Any

__all__ = [
    "EventHeap",
    "heapify",
    "heappop",
    "heappush",
    "heapreplace",
    "pop_event",
    "push_event",
]

if TYPE_CHECKING:
    Event = tuple[int, int, int, int, Callable[[Any], None], Any]
    """(time, kind, owner, number, action, its argument). No two of a heap have the same numbers."""

    class EventHeap:
        """A heap of these, and of nothing else."""

        def __len__(self) -> int: ...

        def clear(self) -> None:
            """Remove all."""

    def push_event(heap: EventHeap, event: Event) -> None:
        """Add one."""

    def pop_event(heap: EventHeap) -> Event:
        """Remove and return the first."""
        ...
else:
    EventHeap, push_event, pop_event = list, heappush, heappop
