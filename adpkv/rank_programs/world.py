"""The ranks of one schedule and what they wait for: who may go on, what matches, what time it is.

It knows neither threads nor torch. A driver asks `next_rank` whom to let go on, and calls the other
methods for the rank that runs; only one runs at a time. Time is virtual: it passes when a rank
polls or reads the clock, and jumps to the next deadline when nobody can run.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, Final

from adpkv.rank_programs.choices import Strategy
from adpkv.rank_programs.failure import Failure, Stop, What
from adpkv.rank_programs.operations import Arrival, Collective, Operation, Wait
from adpkv.rank_programs.program_files import ProgramFiles

__all__ = ["MOST_OPERATIONS", "MOST_POLLS", "Combine", "Group", "Rank", "World"]

MOST_POLLS: Final = 10_000
"""Polls and clock readings in a row, of all ranks, without anything happening."""

MOST_OPERATIONS: Final = 200_000
"""Operations of all ranks in one schedule."""

POLL_NS: Final = 1_000
"""How long a poll, or a reading of the clock, takes."""

LONGEST_POLL_NS: Final = 1_000_000_000
"""Polls that find nothing take twice as long after each hundred, up to this."""

Combine = Callable[[Collective, Sequence[Arrival]], None]
"""What a complete collective does: it gets the arrivals in the order of the group's ranks."""


class Group:
    """Ranks that have collectives together."""

    __slots__ = ("name", "number", "open", "ranks")

    def __init__(self, number: int, name: str, ranks: tuple[int, ...]) -> None:
        self.number, self.name, self.ranks = number, name, ranks
        self.open: dict[int, Collective] = {}
        """By position: those to which not all members have come."""


class Rank:
    """One rank of the schedule."""

    __slots__ = (
        "counts",
        "deadline_ns",
        "ended",
        "error",
        "frames",
        "history",
        "number",
        "on",
        "polling",
        "started",
        "unwaited",
        "what",
    )

    def __init__(self, number: int) -> None:
        self.number = number
        self.on: Wait | None = None
        """What it waits for."""
        self.what = ""
        """The same for people."""
        self.deadline_ns = 0
        """When its wait ends anyway; 0 for never."""
        self.polling = False
        """It has asked in vain, and comes last."""
        self.started = False
        self.ended = ""
        """How its program ended: `returned`, `raised`, `killed`; empty as long as it runs."""
        self.error: BaseException | None = None
        self.counts: dict[int, int] = {}
        """By group: to how many of its positions the rank has come."""
        self.history: list[Arrival] = []
        self.unwaited: dict[Arrival | None, Arrival] = {}
        """What it has started and not waited for."""
        self.frames: list[FrameType] = []
        """The program's frames, innermost first, while a failed schedule is looked at."""


class World:
    """One schedule of a program's ranks."""

    def __init__(self, size: int, strategy: Strategy, files: ProgramFiles) -> None:
        self.size = size
        self.files = files
        self.ranks = [Rank(number) for number in range(size)]
        self.groups: list[Group] = []
        self.clock_ns = 0
        self.choices: list[int] = []
        self.switches = 0
        self.operations = 0
        self.failure: Failure | None = None
        self.on_arrival: Callable[[Rank, Arrival, Group], None] | None = None
        """Called with each arrival while a schedule is traced."""
        self._strategy = strategy
        self._polls = 0
        self._by_name: dict[str, Group] = {}

    # -- who goes on -------------------------------------------------------------------------

    def choose(self, options: Sequence[int]) -> int:
        """One of the options, by the strategy; recorded."""
        if len(options) == 1:
            return options[0]
        place = self._strategy.pick(options, len(self.choices))
        self.choices.append(place)
        return options[place]

    def next_rank(self, current: int, *, polling: bool = False) -> int | None:
        """Who goes on; None if nobody can. A rank that polled in vain comes last."""
        while True:
            now = self.clock_ns
            options = []
            for rank in self.ranks:
                if rank.ended:
                    continue
                on = rank.on
                if on is None or on.done or 0 < rank.deadline_ns <= now:
                    options.append(rank.number)
            if options:
                if len(options) > 1:
                    # One that polled comes last, and the next ones take their turns: no rank that
                    # could end a wait is passed over for ever.
                    first = current + 1 if polling else current
                    options.sort(key=lambda number: (number - first) % self.size)
                return self.choose(options)
            deadlines = [r.deadline_ns for r in self.ranks if not r.ended and r.deadline_ns]
            if not deadlines:
                return None
            self.clock_ns = max(now, min(deadlines))

    def poll(self, rank: int) -> None:
        """A rank has asked in vain, or read the clock: time passes. Raises Stop, with the failure
        noted, if that goes on and on."""
        self._polls += 1
        self.clock_ns += min(POLL_NS << min(self._polls // 100, 40), LONGEST_POLL_NS)
        if self._polls > MOST_POLLS:
            self.fail(Failure(What.SPIN, rank, message=f"after {MOST_POLLS:,} polls in a row"))

    def progressed(self) -> None:
        """Something has happened."""
        self._polls = 0
        self.operations += 1
        if self.operations > MOST_OPERATIONS:
            told = f"after {MOST_OPERATIONS:,} operations: more than one schedule may have"
            self.fail(Failure(What.SPIN, message=told))

    def fail(self, failure: Failure) -> None:
        """Note the failure, the first one that counts, and end the rank that runs."""
        if self.failure is None:
            self.failure = failure
        raise Stop

    # -- groups and collectives --------------------------------------------------------------

    def group(self, name: str, ranks: Sequence[int]) -> Group:
        """The group of this name and these ranks, the same for all of them."""
        key = f"{name}:{','.join(map(str, ranks))}"
        found = self._by_name.get(key)
        if found is None:
            found = self._by_name[key] = Group(len(self.groups), name, tuple(ranks))
            self.groups.append(found)
        return found

    def arrive(
        self, rank: Rank, group: Group, operation: Operation, payload: Any, combine: Combine
    ) -> Collective:
        """The running rank comes to its next position of the group. The last one there completes
        it, by `combine`. Where operations do not match, that is noted and it is never complete: the
        others still come as far as they can, so that the report knows what most of them do."""
        self.progressed()
        code, line = self.files.place(sys._getframe(1))
        arrival = Arrival(rank.number, operation, payload, code, line)
        arrival.group = group.number
        position = arrival.position = rank.counts.get(group.number, 0) + 1
        rank.counts[group.number] = position
        rank.history.append(arrival)
        collective = group.open.get(position)
        if collective is None:
            collective = group.open[position] = Collective(group.number, position)
        arrivals = collective.arrivals
        first = next(iter(arrivals.values()), arrival).operation
        arrivals[rank.number] = arrival
        if self.on_arrival is not None:
            self.on_arrival(rank, arrival, group)
        if first.kind != operation.kind or first.key != operation.key:
            self._mismatched(rank.number, collective, "")
        if len(arrivals) == len(group.ranks) and not collective.broken:
            self._complete(group, collective, combine)
        return collective

    def _complete(self, group: Group, collective: Collective, combine: Combine) -> None:
        there = collective.arrivals
        try:
            combine(collective, [there[number] for number in group.ranks])
        except (ValueError, RuntimeError, TypeError, IndexError) as error:
            message = str(error).splitlines()[0] if str(error) else type(error).__name__
            self._mismatched(next(reversed(there)), collective, message)
            return
        collective.done = True
        del group.open[collective.position]
        for arrival in there.values():
            arrival.payload = None

    def _mismatched(self, rank: int, collective: Collective, message: str) -> None:
        collective.broken = True
        if self.failure is None:
            group, position = collective.group, collective.position
            self.failure = Failure(What.MISMATCH, rank, group, position, message)
