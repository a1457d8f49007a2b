"""How long the requests of an instance may wait before they are first scheduled: one limit each.

The leader keeps it from a request's arrival to its answer, whether the request waits for a rank or
for blocks on one. If the rank counted its own part, a request could wait twice as long as
configured; and the ranks' clocks need not agree.
"""

from __future__ import annotations

from adpkv.core.ids import NEVER
from adpkv.core.rank_failure import Attempt
from adpkv.heaps import heappop, heappush

__all__ = ["QueueLimits"]


class QueueLimits:
    """The limits of the requests that have no answer yet. O(log requests) each; in nanoseconds."""

    __slots__ = ("_due", "_heap", "_late", "_limit_ns", "_next_ns")

    def __init__(self, limit_ns: int) -> None:
        self._limit_ns = limit_ns
        self._due: dict[Attempt, int] = {}
        """When each request will have waited too long; `_heap` has the same, and older entries."""
        self._heap: list[tuple[int, Attempt]] = []
        self._late: dict[Attempt, int] = {}
        """Those for which that time has come, oldest first."""
        self._next_ns: int | None = NEVER
        """The answer of `next_ns`, until it changes."""

    def since(self, attempt: Attempt, since_ns: int) -> None:
        """The request has waited since then. Of several calls the earliest time counts."""
        due_ns = since_ns + self._limit_ns
        if attempt not in self._late and due_ns < self._due.get(attempt, NEVER):
            self._due[attempt] = due_ns
            if self._next_ns is not None and due_ns < self._next_ns:
                self._next_ns = due_ns
            heappush(self._heap, (due_ns, attempt))

    def over(self, attempt: Attempt) -> None:
        """The request has its answer, or its wait was ended."""
        due_ns, late_ns = self._due.pop(attempt, None), self._late.pop(attempt, None)
        if late_ns is not None or due_ns == self._next_ns:
            self._next_ns = None

    def next_ns(self) -> int:
        """When the first request will have waited too long; `NEVER` without one."""
        if self._next_ns is None:
            self._next_ns = self._found_ns()
        return self._next_ns

    def _found_ns(self) -> int:
        if self._late:
            return next(iter(self._late.values()))
        heap = self._heap
        while heap and self._due.get(heap[0][1]) != heap[0][0]:
            heappop(heap)
        return heap[0][0] if heap else NEVER

    def expired(self, now_ns: int) -> tuple[Attempt, ...]:
        """The requests that have waited too long, oldest first, until each is `over`."""
        while self._heap and self._heap[0][0] <= now_ns:
            self._next_ns = None
            due_ns, attempt = heappop(self._heap)
            if self._due.get(attempt) == due_ns:
                del self._due[attempt]
                self._late[attempt] = due_ns
        return tuple(self._late)
