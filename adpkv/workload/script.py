"""A workload that was written down: each request in its place, for stories in which each counts."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from adpkv.core.ids import LAST_NS, NEVER
from adpkv.workload.port import Arrival

__all__ = ["Script", "Scripted"]


@dataclass(frozen=True, slots=True)
class Scripted:
    """One request, or `times` alike that come `every_ns` apart; the first at `first.at_ns`."""

    first: Arrival
    times: int = 1
    every_ns: int = 0

    def arrivals(self) -> Iterator[Arrival]:
        """Each of them, in order of time."""
        one = self.first
        for number in range(self.times):
            yield Arrival(
                at_ns=min(one.at_ns + number * self.every_ns, LAST_NS),
                prompt_tokens=one.prompt_tokens,
                output_tokens=one.output_tokens,
                cancel_ns=one.cancel_ns,
                wanted=one.wanted,
            )


class Script:
    """The requests in order of time, at one time in the order of the script; implements `Workload`.

    They are merged as they are taken: a script of a million alike takes no memory.
    """

    def __init__(self, entries: Iterable[Scripted]) -> None:
        entries = tuple(entries)
        self.total = sum(entry.times for entry in entries)
        self._left = heapq.merge(*(e.arrivals() for e in entries), key=lambda a: a.at_ns)
        self._next = next(self._left, None)

    def due_ns(self) -> int:
        """When the next request arrives."""
        return NEVER if self._next is None else self._next.at_ns

    def take(self) -> Arrival:
        """The next request."""
        taken = self._next
        if taken is None:
            raise IndexError(f"all {self.total} requests were taken")
        self._next = next(self._left, None)
        return taken

    def ended(self, now_ns: int) -> None:
        """Nobody here waits for an answer before the next request."""
