"""A group's bounded wait: poll with backoff, and end at once on input for any member.

The member that has input, or whose limit is over first, ends the wait for all, through the group's
exchange. So the smallest limit counts for all members.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns

from adpkv.executor.collectives import Pause
from adpkv.worlds.mpi.backoff import Backoff
from adpkv.worlds.mpi.exchange.port import Exchange

__all__ = ["Waiter"]


class Waiter:
    """One rank's waits in one group."""

    def __init__(self, exchange: Exchange, has_input: Callable[[], bool]) -> None:
        self._exchange, self._has_input = exchange, has_input

    def wait(self, number: int, limit_ns: int) -> None:
        """Wait number `number` of this group, which is the same on each member; at most
        `limit_ns`."""
        until_ns = perf_counter_ns() + limit_ns
        backoff = Backoff()
        while not self._exchange.woken(number):
            if self._has_input():
                return self._exchange.wake(number)
            left_ns = until_ns - perf_counter_ns()
            if left_ns <= 0:
                return self._exchange.wake(number)
            backoff.sleep(left_ns)
        return None

    def pause(self, op: Pause, clock: Callable[[], int]) -> None:
        """Wait alone. No member is woken: a member that comes to a collective waits for this
        rank."""
        backoff = Backoff()
        while not op.over():
            left_ns = op.until_ns - clock()
            if left_ns <= 0:
                return
            backoff.sleep(left_ns)
