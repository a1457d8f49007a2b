"""A workload whose requests are listed one by one in the experiment."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from operator import attrgetter
from typing import Final

import msgspec

from adpkv.core.ids import LAST_NS, NEVER
from adpkv.errors import BadCallError
from adpkv.workload.given import NoneDueError
from adpkv.workload.port import Arrival

__all__ = ["Script", "Scripted"]

_AT_NS: Final = attrgetter("at_ns")


@dataclass(frozen=True, slots=True)
class Scripted:
    """One entry: `times` equal requests that arrive `every_ns` nanoseconds apart, the first one at
    `first.at_ns`."""

    first: Arrival
    times: int = 1
    every_ns: int = 0

    def arrival(self, number: int) -> Arrival:
        """The request of this number, from 0."""
        one = self.first
        at_ns = min(one.at_ns + number * self.every_ns, LAST_NS)
        return one if at_ns == one.at_ns else msgspec.structs.replace(one, at_ns=at_ns)

    def arrivals(self) -> Iterator[Arrival]:
        """The requests of this entry, in order of time."""
        return map(self.arrival, range(self.times))


class Script:
    """All requests in order of time, and at the same time in the order of the script. Implements
    `Workload`.

    Raises:
        BadCallError: an entry is no `Scripted`.

    The entries are merged while requests are taken, so a million equal requests take no memory.
    Where each is one request, they are sorted: an exploration makes thousands of small scripts.
    """

    def __init__(self, entries: Iterable[Scripted]) -> None:
        try:
            entries = tuple(entries)
            self.total = sum(entry.times for entry in entries)
            if all(entry.times == 1 for entry in entries):
                self._left = iter(sorted([entry.arrival(0) for entry in entries], key=_AT_NS))
            else:
                self._left = heapq.merge(*(entry.arrivals() for entry in entries), key=_AT_NS)
            self._next = next(self._left, None)
        except (AttributeError, TypeError) as error:
            raise BadCallError(f"Script: its entries are not all Scripted: {error}") from error

    def due_ns(self) -> int:
        """When the next request arrives; `NEVER` after the last."""
        return NEVER if self._next is None else self._next.at_ns

    def take(self) -> Arrival:
        """Remove and return the next request.

        Raises:
            NoneDueError: all requests were taken.
        """
        taken = self._next
        if taken is None:
            raise NoneDueError(f"all {self.total} requests were taken")
        self._next = next(self._left, None)
        return taken

    def ended(self, now_ns: int, number: int) -> None:
        """Nothing to do: arrivals do not depend on answers."""
