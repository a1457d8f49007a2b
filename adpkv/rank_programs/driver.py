"""What lets ranks run one at a time: threads for programs as they are, coroutines for ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn, Protocol

from adpkv.rank_programs.failure import Failure
from adpkv.rank_programs.members import Group, Rank
from adpkv.rank_programs.operations import Collective, Operation, Wait
from adpkv.rank_programs.world import Combine, World

__all__ = ["GRACE_SECONDS", "MAIN", "MOST_SECONDS", "Around", "Driver", "Program", "Swapped"]

MOST_SECONDS = 30.0
"""Real time that a schedule may take."""

GRACE_SECONDS = 5.0
"""Real time that a rank has to end once it is told to."""

MAIN = -1
"""In place of a rank's number: the process itself."""

Program = Callable[[Rank], Any]
"""A rank's program; it returns a coroutine where the driver is one for coroutines."""

Around = Callable[[Rank, Callable[[], Any]], Any]
"""Calls a piece of a rank's program, and returns what that returns."""


class Swapped(Protocol):
    """What each rank has of its own and the process only once."""

    def swap(self, old: int, new: int) -> None:
        """Put `old`'s things away and `new`'s in place; `MAIN` is what the process had."""
        ...


class Driver(Protocol):
    """Performs schedules; all but the first two methods are for the rank that runs."""

    most_seconds: float
    """Real time that a schedule may take."""

    def run(
        self,
        world: World,
        program: Program,
        swapped: Swapped,
        look: Callable[[World], None],
        around: Around | None = None,
    ) -> None:
        """Perform one schedule: the program of each rank, to its end or to the first failure.
        `look` is called with a failed world while all ranks still stand where they are."""
        ...

    def close(self) -> None:
        """End its threads."""
        ...

    def rank_here(self) -> Rank | None:
        """The rank that calls; None outside of ranks, and where no schedule runs."""
        ...

    @property
    def world(self) -> World:
        """The schedule that is performed. Raises Stop where there is none."""
        ...

    def now_ns(self) -> int:
        """Virtual time."""
        ...

    def pause(self, rank: Rank, *, polling: bool = False) -> None:
        """A place where another rank may go on instead. With `polling` the rank has asked in
        vain."""
        ...

    def tick(self, rank: Rank) -> None:
        """Time passes for a rank that reads the clock, or has polled in vain."""
        ...

    def wait(self, rank: Rank, on: Wait, what: str, deadline_ns: int = 0) -> bool:
        """Wait until it is done; False if the deadline came first, or if it is never done because
        a rank is gone (`Wait.missing`, `Wait.torn`)."""
        ...

    def arrive(
        self, rank: Rank, group: Group, operation: Operation, payload: Any, combine: Combine
    ) -> Collective:
        """The rank comes to its next position of the group (`World.arrive`)."""
        ...

    def refuse(self, rank: Rank) -> None:
        """The rank gets an error because one is gone (`World.refuse`)."""
        ...

    def fail(self, rank: Rank, failure: Failure) -> NoReturn:
        """End the schedule with this failure, which the rank has found."""
        ...
