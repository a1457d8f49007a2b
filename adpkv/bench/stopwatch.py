"""A stopwatch around a rank program: how long an iteration takes, and how much of it is its own.

To its driver it looks like the coroutine itself. The program's own time is processor time between
collectives: with more ranks than cores a process gives its core away in the middle of a poll (Open
MPI yields there), and what the others do meanwhile is not this rank's cost. What a world does on
behalf of the program, a step's `run` and a collective's `combine`, is done here instead, so that it
counts as own time too and not as the collective's. Waits are skipped: nobody sleeps, so every
iteration does full work, and idle ones can be measured without half a second between them.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from time import perf_counter_ns, thread_time_ns
from typing import Any, Generic, TypeVar

import msgspec

from adpkv.executor.collectives import Collective, Elapsed, Step, Wait

__all__ = ["FIRST_SITE", "Iteration", "Stopwatch"]

T = TypeVar("T")

FIRST_SITE = "intake"
"""Where an iteration begins."""


class Iteration(msgspec.Struct):
    """One iteration of one rank, in nanoseconds. `active` and `open` are its requests; `own` is
    its processor time by the site of the collective that followed."""

    active: int
    open: int
    wall_ns: int = 0
    own_wall_ns: int = 0
    own: dict[str, int] = {}


class Stopwatch(Generic[T]):
    """Drive this instead of `program`.

    `look` says (active, open) requests, off the clock; so is `between`, which is called before each
    iteration with those made so far, and may meet the group by itself.
    """

    def __init__(
        self,
        program: Coroutine[Any, Any, T],
        look: Callable[[], tuple[int, int]],
        between: Callable[[list[Iteration]], None],
    ) -> None:
        self._program, self._look, self._between = program, look, between
        self._combine: Callable[[Any], Any] | None = None
        self._began_ns = 0
        self.iterations: list[Iteration] = []

    def send(self, result: Any) -> Any:
        """One turn of the program, up to its next collective that is no wait."""
        came_ns, own_ns = perf_counter_ns(), thread_time_ns()
        operation = self._turn(result)
        own_ns = thread_time_ns() - own_ns
        left_ns = perf_counter_ns()
        if operation.site == FIRST_SITE:
            self._begin(came_ns)
            self._began_ns = came_ns + perf_counter_ns() - left_ns
        found = self.iterations[-1]
        found.own[operation.site] = own_ns
        found.own_wall_ns += left_ns - came_ns
        return operation

    def _turn(self, result: Any) -> Any:
        if self._combine is not None:
            result, self._combine = self._combine(result), None
        operation = self._program.send(result)
        while isinstance(operation, Wait):
            operation = self._program.send(Elapsed(0, operation.iteration, operation.plan))
        if isinstance(operation, Step):
            operation.run()
            operation.run = _done
        elif isinstance(operation, Collective):
            self._combine, operation.combine = operation.combine, None
        return operation

    def _begin(self, came_ns: int) -> None:
        """The iteration before is over."""
        if self.iterations:
            self.iterations[-1].wall_ns = came_ns - self._began_ns
            self._between(self.iterations)
        self.iterations.append(Iteration(*self._look()))


def _done() -> None:
    """A step's own part, after it was made."""
