"""How long the requests of an instance may wait before they are first scheduled: one limit each.

The leader keeps it from a request's arrival to its answer, whether the request waits for a rank or
for blocks on one. If the rank counted its own part, a request could wait twice as long as
configured; and the ranks' clocks need not agree.
"""

from __future__ import annotations

from bisect import insort
from collections import deque

from adpkv.core.ids import NEVER
from adpkv.core.rank_failure import Attempt

__all__ = ["QueueLimits"]


class QueueLimits:
    """The limits of the requests that have no answer yet, in nanoseconds.

    Requests come nearly in the order of their limits, as all have the same: so these are kept in a
    queue, at whose end a new one has its place. O(1) each, but O(requests) out of order: then the
    queue is walked to the place, as any place in its middle.
    """

    __slots__ = ("_due", "_last_ns", "_late", "_limit_ns", "_next_ns", "_order")

    def __init__(self, limit_ns: int) -> None:
        self._limit_ns = limit_ns
        self._due: dict[Attempt, int] = {}
        """When each request will have waited too long; `_order` has the same, and older entries."""
        self._order: deque[tuple[int, Attempt]] = deque()
        """(when, request), the first to come first; at the same time in any order."""
        self._last_ns = 0
        """When the last of them is due, or was."""
        self._late: dict[Attempt, int] = {}
        """Those for which that time has come, oldest first."""
        self._next_ns: int | None = NEVER
        """The answer of `next_ns`, until it changes."""

    def since(self, attempt: Attempt, since_ns: int) -> None:
        """The request has waited since then. Of several calls the earliest time counts."""
        due_ns, order = since_ns + self._limit_ns, self._order
        if (self._late and attempt in self._late) or due_ns >= self._due.get(attempt, NEVER):
            return
        self._due[attempt] = due_ns
        if self._next_ns is not None and due_ns < self._next_ns:
            self._next_ns = due_ns
        if due_ns >= self._last_ns:
            self._last_ns = due_ns
            order.append((due_ns, attempt))
        else:
            insort(order, (due_ns, attempt))

    def over(self, attempt: Attempt) -> None:
        """The request has its answer, or its wait was ended."""
        due_ns = self._due.pop(attempt, None)
        if due_ns is None:
            due_ns = self._late.pop(attempt, None)
        if due_ns is not None and due_ns == self._next_ns:
            self._next_ns = None

    def next_ns(self) -> int:
        """When the first request will have waited too long; `NEVER` without one."""
        if self._next_ns is None:
            self._next_ns = self._found_ns()
        return self._next_ns

    def _found_ns(self) -> int:
        if self._late:
            return next(iter(self._late.values()))
        order, due = self._order, self._due
        while order:
            due_ns, attempt = order[0]
            if due.get(attempt) == due_ns:
                return due_ns
            order.popleft()
        return NEVER

    def expired(self, now_ns: int) -> tuple[Attempt, ...]:
        """The requests that have waited too long, oldest first, until each is `over`."""
        order, late = self._order, []
        while order and order[0][0] <= now_ns:
            late.append(order.popleft())
        for due_ns, attempt in sorted(late):
            self._next_ns = None
            if self._due.get(attempt) == due_ns:
                del self._due[attempt]
                self._late[attempt] = due_ns
        return tuple(self._late)
