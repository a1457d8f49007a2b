"""Arrivals from a process: Poisson (open: clients come whatever happens) and closed loop.

A closed loop with N users has at most N requests open, so it never overloads the servers; an open
one does when the rate is too high. Serving benchmarks need both (vLLM: request rate against
maximum concurrency).
"""

from __future__ import annotations

from collections import deque
from typing import Final

from adpkv.core.ids import LAST_NS, NEVER
from adpkv.random_draws import exponential
from adpkv.workload.cancels import Clients
from adpkv.workload.port import Arrival
from adpkv.workload.shapes import Shapes

__all__ = ["ClosedLoop", "Poisson"]

NS_PER_S: Final = 1_000_000_000


class Poisson:
    """`total` requests at `rate_per_s` on average, with exponential gaps; implements `Workload`."""

    def __init__(
        self, shapes: Shapes, clients: Clients, seed: int, *, rate_per_s: float, total: int
    ) -> None:
        self.total = total
        self._shapes, self._clients, self._seed = shapes, clients, seed
        self._mean_gap_ns = NS_PER_S / rate_per_s
        self._number = 0
        self._due_ns = self._next(0)

    def due_ns(self) -> int:
        """When the next request arrives."""
        return self._due_ns

    def take(self) -> Arrival:
        """The next request."""
        if self._due_ns == NEVER:
            raise IndexError(f"all {self.total} requests were taken")
        arrival = self._shapes.arrival(self._number, self._due_ns, self._clients)
        self._number += 1
        self._due_ns = self._next(self._due_ns)
        return arrival

    def ended(self, now_ns: int) -> None:
        """Nobody here waits for an answer before the next request."""

    def _next(self, last_ns: int) -> int:
        if self._number >= self.total:
            return NEVER
        gap_ns = self._mean_gap_ns * exponential(self._seed, "gap", self._number)
        return min(last_ns + round(min(gap_ns, NEVER)), LAST_NS)


class ClosedLoop:
    """`users` ask at once; each asks again `think_time_ns` after an answer, until `total` requests
    were asked in all; implements `Workload`."""

    def __init__(
        self, shapes: Shapes, clients: Clients, *, users: int, think_time_ns: int, total: int
    ) -> None:
        self.total = total
        self._shapes, self._clients = shapes, clients
        self._think_time_ns = think_time_ns
        self._number = 0
        # In order of time, because answers are and everybody thinks equally long. Requests are
        # numbered as they are asked: which user it was makes no difference.
        self._due: deque[int] = deque()
        self._first = min(users, total)
        """Users who have not asked yet: counted, there may be thousands of millions."""

    def due_ns(self) -> int:
        """When the next user who is not waiting for an answer asks; `NEVER` while all wait."""
        if self._first:
            return 0
        return self._due[0] if self._due else NEVER

    def take(self) -> Arrival:
        """The next request."""
        if not self._first and not self._due:
            raise IndexError("every user waits for an answer, or all requests were taken")
        at_ns = 0 if self._first else self._due.popleft()
        self._first = max(0, self._first - 1)
        arrival = self._shapes.arrival(self._number, at_ns, self._clients)
        self._number += 1
        return arrival

    def ended(self, now_ns: int) -> None:
        """One user has an answer, thinks, and asks again if requests are left."""
        if self._number + self._first + len(self._due) < self.total:
            self._due.append(now_ns + self._think_time_ns)
