"""Random arrivals: open loop (Poisson) and closed loop.

In an open loop requests arrive independently of the answers, so too high a rate overloads the
servers. A closed loop with N users has at most N open requests, so it never does. Serving
benchmarks need both (in vLLM's: request rate and maximum concurrency).
"""

from __future__ import annotations

from collections import deque
from typing import Final

from adpkv.core.ids import LAST_NS, NEVER
from adpkv.random_draws import Draws
from adpkv.workload.cancels import Clients
from adpkv.workload.given import NoneDueError, having, number, whole
from adpkv.workload.port import Arrival
from adpkv.workload.shapes import Shapes

__all__ = ["ClosedLoop", "Poisson"]

NS_PER_S: Final = 1_000_000_000


class Poisson:
    """Open loop: `total` requests at `rate_per_s` on average, with exponential gaps. Implements
    `Workload`."""

    def __init__(
        self, shapes: Shapes, clients: Clients, seed: int, *, rate_per_s: float, total: int
    ) -> None:
        _check("Poisson", shapes, clients, total)
        whole("Poisson: seed", seed, None)
        number("Poisson: rate_per_s", rate_per_s, above_0=True)
        self.total = total
        self._shapes, self._clients = shapes, clients
        self._gaps = Draws(seed, "gap")
        self._mean_gap_ns = NS_PER_S / rate_per_s
        self._number = 0
        self._due_ns = self._next(0)

    def due_ns(self) -> int:
        """When the next request arrives; `NEVER` after the last."""
        return self._due_ns

    def take(self) -> Arrival:
        """Remove and return the next request.

        Raises:
            NoneDueError: all requests were taken.
        """
        if self._due_ns == NEVER:
            raise NoneDueError(f"all {self.total} requests were taken")
        arrival = self._shapes.arrival(self._number, self._due_ns, self._clients)
        self._number += 1
        self._due_ns = self._next(self._due_ns)
        return arrival

    def ended(self, now_ns: int, number: int) -> None:
        """Nothing to do: arrivals do not depend on answers."""

    def _next(self, last_ns: int) -> int:
        if self._number >= self.total:
            return NEVER
        gap_ns = self._mean_gap_ns * self._gaps.exponential(self._number)
        return min(last_ns + round(min(gap_ns, NEVER)), LAST_NS)


class ClosedLoop:
    """Closed loop: each of `users` users sends a request at time 0, and the next `think_time_ns`
    after each answer, until there were `total` requests. Implements `Workload`."""

    def __init__(
        self, shapes: Shapes, clients: Clients, *, users: int, think_time_ns: int, total: int
    ) -> None:
        _check("ClosedLoop", shapes, clients, total)
        whole("ClosedLoop: users", users)
        whole("ClosedLoop: think_time_ns", think_time_ns)
        self.total = total
        self._shapes, self._clients = shapes, clients
        self._think_time_ns = think_time_ns
        self._number = 0
        # In order of time, because answers come in order and the think time is constant. Requests
        # are numbered as they are sent; which user it was makes no difference.
        self._due: deque[int] = deque()
        self._first = min(users, total)
        """Users who have not sent a request yet; only counted, as there may be billions."""

    def due_ns(self) -> int:
        """When the next user sends a request; `NEVER` while all wait for answers."""
        if self._first:
            return 0
        return self._due[0] if self._due else NEVER

    def take(self) -> Arrival:
        """Remove and return the next request.

        Raises:
            NoneDueError: every user waits for an answer, or all requests were taken.
        """
        if not self._first and not self._due:
            raise NoneDueError("every user waits for an answer, or all requests were taken")
        at_ns = 0 if self._first else self._due.popleft()
        self._first = max(0, self._first - 1)
        arrival = self._shapes.arrival(self._number, at_ns, self._clients)
        self._number += 1
        return arrival

    def ended(self, now_ns: int, number: int) -> None:
        """A user got an answer, and sends a request after the think time if any are left.

        Raises:
            BadCallError: that is no time.
        """
        if self._number + self._first + len(self._due) < self.total:
            try:
                self._due.append(now_ns + self._think_time_ns)
            except TypeError:
                whole("ClosedLoop: ended: now_ns", now_ns)
                raise


def _check(who: str, shapes: Shapes, clients: Clients, total: int) -> None:
    having(f"{who}: shapes", shapes, "arrival")
    having(f"{who}: clients", clients, "cancel_ns", "wanted")
    whole(f"{who}: total", total)
