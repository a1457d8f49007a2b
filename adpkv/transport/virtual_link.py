"""One sender's outgoing link in virtual time: a bandwidth that its flows share fairly.

Flows are served at equal rates (generalised processor sharing, Parekh and Gallager 1993): `served`
is what each flow would have got since the link came up, so a flow ends when `served` reaches its
mark. O(log flows) per transfer.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

from adpkv.transport.port import Transfer

__all__ = ["Link"]

_UNIT = 10**9
"""`served` counts billionths of a byte: a byte per second is one unit per nanosecond."""


class Link:
    """Knows its flows and when the next one is through; who plans that is the network."""

    __slots__ = ("_bandwidth", "_flows", "_numbers", "_served", "_since_ns", "version")

    def __init__(self, bandwidth_bytes_per_s: int) -> None:
        self._bandwidth = bandwidth_bytes_per_s
        self._flows: list[tuple[int, int, Transfer]] = []
        self._served = 0
        self._since_ns = 0
        self._numbers = 0
        self.version = 0
        """Counts the plans that were made for it: an older one is void."""

    def join(self, transfer: Transfer, now_ns: int) -> None:
        """A flow begins; the others get slower."""
        self._advance(now_ns)
        self._numbers += 1
        mark = self._served + transfer.nbytes * _UNIT
        heapq.heappush(self._flows, (mark, self._numbers, transfer))

    def leave(self, which: Callable[[Transfer], bool], now_ns: int) -> list[Transfer]:
        """Flows end before they are through; the others get faster. Returns them, oldest first."""
        found = [flow for flow in self._flows if which(flow[2])]
        if found:
            self._advance(now_ns)
            self._flows = [flow for flow in self._flows if not which(flow[2])]
            heapq.heapify(self._flows)
        return [transfer for _, _, transfer in sorted(found, key=lambda flow: flow[1])]

    def next_ns(self) -> int | None:
        """When the next flow is through, if none joins or leaves before; None without flows."""
        flows = self._flows
        if not flows:
            return None
        left = max(flows[0][0] - self._served, 0)
        return self._since_ns - (-left * len(flows) // self._bandwidth)

    def through(self, now_ns: int) -> list[Transfer]:
        """It is `next_ns`: take out all whose last byte has left."""
        flows = self._flows
        # The first flow is at its mark by plan; rounding down must not leave it short.
        served = flows[0][0]
        self._advance(now_ns)
        self._served = max(self._served, served)
        found = []
        while flows and flows[0][0] <= self._served:
            found.append(heapq.heappop(flows)[2])
        return found

    def _advance(self, now_ns: int) -> None:
        if self._flows:
            self._served += (now_ns - self._since_ns) * self._bandwidth // len(self._flows)
        self._since_ns = now_ns
