"""A workload whose requests are listed one by one in the experiment."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from adpkv.core.ids import LAST_NS, NEVER
from adpkv.workload.port import Arrival

__all__ = ["Script", "Scripted"]


@dataclass(frozen=True, slots=True)
class Scripted:
    """One entry: `times` equal requests that arrive `every_ns` nanoseconds apart, the first one at
    `first.at_ns`."""

    first: Arrival
    times: int = 1
    every_ns: int = 0

    def arrivals(self) -> Iterator[Arrival]:
        """The requests of this entry, in order of time."""
        one = self.first
        for number in range(self.times):
            yield Arrival(
                at_ns=min(one.at_ns + number * self.every_ns, LAST_NS),
                prompt_tokens=one.prompt_tokens,
                output_tokens=one.output_tokens,
                block_hashes=one.block_hashes,
                cancel_ns=one.cancel_ns,
                wanted=one.wanted,
                deadline_ns=one.deadline_ns,
                client_id=one.client_id,
            )


class Script:
    """All requests in order of time, and at the same time in the order of the script. Implements
    `Workload`.

    The entries are merged while requests are taken, so a million equal requests take no memory.
    """

    def __init__(self, entries: Iterable[Scripted]) -> None:
        entries = tuple(entries)
        self.total = sum(entry.times for entry in entries)
        self._left = heapq.merge(*(e.arrivals() for e in entries), key=lambda a: a.at_ns)
        self._next = next(self._left, None)

    def due_ns(self) -> int:
        """When the next request arrives; `NEVER` after the last."""
        return NEVER if self._next is None else self._next.at_ns

    def take(self) -> Arrival:
        """Remove and return the next request.

        Raises:
            IndexError: all requests were taken.
        """
        taken = self._next
        if taken is None:
            raise IndexError(f"all {self.total} requests were taken")
        self._next = next(self._left, None)
        return taken

    def ended(self, now_ns: int, number: int) -> None:
        """Nothing to do: arrivals do not depend on answers."""
