"""The clients of a job, as the coordinator meets them: what arrives when, and what they cancel."""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from adpkv.core.ids import NEVER
from adpkv.executor.open_request import OpenRequest
from adpkv.workload.port import Workload

__all__ = ["Clients"]


class Clients:
    """The workload, with the times at which its clients do something about open requests."""

    def __init__(self, workload: Workload) -> None:
        self._workload = workload
        self._cancels: list[tuple[int, int]] = []
        self.submitted = 0

    def next_ns(self, *, admitting: bool) -> int:
        """When a client does something next; `admitting`: arrivals count too."""
        cancel_ns = self._cancels[0][0] if self._cancels else NEVER
        return min(self._workload.due_ns(), cancel_ns) if admitting else cancel_ns

    def arrivals(self, now_ns: int) -> Iterator[OpenRequest]:
        """The requests that have arrived by now."""
        while self._workload.due_ns() <= now_ns:
            arrival = self._workload.take()
            request = OpenRequest(self.submitted, arrival)
            self.submitted += 1
            if arrival.cancel_ns >= 0:
                due_ns = arrival.at_ns + arrival.cancel_ns
                heapq.heappush(self._cancels, (due_ns, request.request_id))
            yield request

    def cancels(self, now_ns: int) -> Iterator[int]:
        """The requests that their clients cancel by now, also those that are over."""
        while self._cancels and self._cancels[0][0] <= now_ns:
            yield heapq.heappop(self._cancels)[1]

    def ended(self, now_ns: int, request_id: int) -> None:
        """A client has its answer."""
        self._workload.ended(now_ns, request_id)
