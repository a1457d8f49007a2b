"""One sender's outgoing link in virtual time: a bandwidth that its flows share fairly.

Flows are served at equal rates (generalised processor sharing, Parekh and Gallager 1993). `served`
is how much a flow would have got if it had been there from the beginning; so a flow ends when
`served` reaches the mark that was set when it joined. O(log flows) per transfer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from adpkv.heaps import heapify, heappop, heappush
from adpkv.transport.port import Transfer

__all__ = ["Link"]

_UNIT: Final = 10**9
"""`served` is in billionths of a byte: one byte per second is one unit per nanosecond."""


class Link:
    """Knows its flows and when the next one ends. `Network` schedules that end."""

    __slots__ = ("_bandwidth", "_flows", "_numbers", "_served", "_since_ns", "version")

    def __init__(self, bandwidth_bytes_per_s: int) -> None:
        self._bandwidth = bandwidth_bytes_per_s
        self._flows: list[tuple[int, int, Transfer]] = []
        self._served = 0
        self._since_ns = 0
        self._numbers = 0
        self.version = 0
        """Counts the ends that were scheduled; one with an older version is ignored."""

    def join(self, transfer: Transfer, now_ns: int) -> None:
        """A flow begins; the others get slower."""
        self._advance(now_ns)
        self._numbers += 1
        mark = self._served + transfer.nbytes * _UNIT
        heappush(self._flows, (mark, self._numbers, transfer))

    def leave(self, which: Callable[[Transfer], bool], now_ns: int) -> list[Transfer]:
        """Remove the flows for which `which` is true before they have ended; the others get faster.
        Returns them, oldest first."""
        found = [flow for flow in self._flows if which(flow[2])]
        if found:
            self._advance(now_ns)
            self._flows = [flow for flow in self._flows if not which(flow[2])]
            heapify(self._flows)
        return [transfer for _, _, transfer in sorted(found, key=lambda flow: flow[1])]

    def next_ns(self) -> int | None:
        """When the next flow ends if none joins or leaves before; None without flows."""
        flows = self._flows
        if not flows:
            return None
        left = max(flows[0][0] - self._served, 0)
        return self._since_ns - (-left * len(flows) // self._bandwidth)

    def through(self, now_ns: int) -> list[Transfer]:
        """At `next_ns`: remove and return the flows whose last byte has left."""
        flows = self._flows
        # The first flow ends now by definition; `_advance` rounds down and may fall short of it.
        served = flows[0][0]
        self._advance(now_ns)
        self._served = max(self._served, served)
        found = []
        while flows and flows[0][0] <= self._served:
            found.append(heappop(flows)[2])
        return found

    def _advance(self, now_ns: int) -> None:
        if self._flows:
            self._served += (now_ns - self._since_ns) * self._bandwidth // len(self._flows)
        self._since_ns = now_ns
