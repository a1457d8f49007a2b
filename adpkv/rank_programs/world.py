"""The ranks of one schedule and what they wait for: who may go on, what matches, what time it is.

It knows neither threads nor torch. A driver asks `next_rank` whom to let go on, and calls the other
methods for the rank that runs; only one runs at a time. Time is virtual: it passes when a rank
polls or reads the clock, and jumps to the next deadline when nobody can run.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, Final, NoReturn

from adpkv.rank_programs.choices import Strategy
from adpkv.rank_programs.failure import Died, Failure, Stop, What
from adpkv.rank_programs.letters import Letter, Mailbox, Sought
from adpkv.rank_programs.members import Group, Killed, Rank
from adpkv.rank_programs.operations import Arrival, Collective, Operation, Wait
from adpkv.rank_programs.program_files import ProgramFiles

__all__ = ["MOST_OPERATIONS", "MOST_POLLS", "Combine", "World"]

MOST_POLLS: Final = 10_000
"""Polls and clock readings in a row, of all ranks, without anything happening."""

MOST_OPERATIONS: Final = 200_000
"""Operations of all ranks in one schedule."""

MOST_REFUSED: Final = 1_000
"""Errors in a row about a rank that is gone, of all ranks."""

POLL_NS: Final = 1_000
"""How long a poll, or a reading of the clock, takes."""

LONGEST_POLL_NS: Final = 1_000_000_000
"""Polls that find nothing take twice as long after each hundred, up to this."""

Combine = Callable[[Collective, Sequence[Arrival]], None]
"""What a complete collective does: it gets the arrivals in the order of the group's ranks."""


class World:
    """One schedule of a program's ranks. Up to `kills` of them die, by the strategy; `strict`: one
    that ends with its library's error about that has failed."""

    def __init__(
        self,
        size: int,
        strategy: Strategy,
        files: ProgramFiles,
        kills: int = 0,
        *,
        strict: bool = False,
    ) -> None:
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
        self.on_note: Callable[[Rank, Arrival], None] | None = None
        """The same for messages."""
        self.mailboxes: list[Mailbox] = []
        self.on_letter: Callable[[Letter], None] | None = None
        """Called with each message as it is sent, where its way is followed."""
        self.on_taken: Callable[[Sought, Letter], None] | None = None
        """The same for what takes it."""
        self.on_stuck: Callable[[], bool] | None = None
        """Asked when nobody can go on: has it ended somebody's wait?"""
        self.on_gone: Callable[[Rank], NoReturn] | None = None
        """Keeps a rank that is gone from going on; where there is none, Died is raised."""
        self.kills, self.strict = kills, strict
        self.asked = 0
        """How often a rank might have died."""
        self.killed: list[Killed] = []
        self.gone: list[int] = []
        """Ranks whose process is gone: the others cannot reach them."""
        self.refused = 0
        """Errors in a row that ranks got because one is gone."""
        self._strategy = strategy
        self.polls = 0
        """How often in a row a rank has asked in vain, or read the clock."""
        self.resting = False
        """No rank is in the middle of anything."""
        self.on_input: Callable[[Rank, Any], None] | None = None
        """Called with what a rank gets from the others, and with the time that it reads."""
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
        # One that polled comes last, and the next ones take their turns: no rank that could end a
        # wait is passed over for ever.
        first = (current + 1) % self.size if polling else current
        while True:
            now = self.clock_ns
            options: list[int] = []
            behind: list[int] = []
            for rank in self.ranks:
                if rank.ended:
                    continue
                on = rank.on
                if on is None or on.done or 0 < rank.deadline_ns <= now:
                    (options if rank.number >= first else behind).append(rank.number)
            options += behind
            if len(options) > 1:
                self.resting = True
                chosen = self.choose(options)
                self.resting = False
                return chosen
            if options:
                return options[0]
            deadlines = [r.deadline_ns for r in self.ranks if not r.ended and r.deadline_ns]
            if not deadlines:
                if self.on_stuck is not None and self.on_stuck():
                    continue
                return None
            self.clock_ns = max(now, min(deadlines))

    def poll(self, rank: int) -> None:
        """A rank has asked in vain, or read the clock: time passes. Raises Stop, with the failure
        noted, if that goes on and on."""
        self.polls += 1
        self.clock_ns += min(POLL_NS << min(self.polls // 100, 40), LONGEST_POLL_NS)
        if self.on_input is not None:
            self.on_input(self.ranks[rank], self.clock_ns)
        if self.polls > MOST_POLLS:
            self.fail(Failure(What.SPIN, rank, message=f"after {MOST_POLLS:,} polls in a row"))

    def progressed(self) -> None:
        """Something has happened."""
        self.polls = 0
        self.operations += 1
        if self.operations > MOST_OPERATIONS:
            told = f"after {MOST_OPERATIONS:,} operations: more than one schedule may have"
            self.fail(Failure(What.SPIN, message=told))

    def fail(self, failure: Failure) -> None:
        """Note the failure, the first one that counts, and end the rank that runs."""
        if self.failure is None:
            self.failure = failure
            if failure.rank >= 0:  # a coroutine's are gone once Stop has passed through it
                found = self.files.frames(sys._getframe(1))
                self.ranks[failure.rank].frames = list(found)
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
        dies = bool(self.kills) and self.may_die(rank, arrival, within=not group.living)
        rank.counts[group.number] = position
        rank.history.append(arrival)
        collective = group.open.get(position)
        if collective is None:
            collective = group.open[position] = Collective(group.number, position)
        arrivals = collective.arrivals
        first = next(iter(arrivals.values()), arrival).operation
        arrivals[rank.number] = arrival
        collective.finish = combine
        if self.on_arrival is not None:
            self.on_arrival(rank, arrival, group)
        if first.kind != operation.kind or first.key != operation.key:
            self._mismatched(rank.number, collective, "")
        whole = len(arrivals) == len(group.ranks) or (group.living and self._all_there(collective))
        if whole and not collective.broken:
            self._complete(group, collective, combine)
        if dies:
            collective.torn = rank.number
            self.die(rank, arrival, within=True)
        return collective

    def note(self, rank: Rank, operation: Operation, frame: FrameType | None) -> Arrival:
        """The running rank sends or receives; it may die before that."""
        self.progressed()
        code, line = self.files.place(frame)
        arrival = Arrival(rank.number, operation, None, code, line)
        if self.kills:
            self.may_die(rank, arrival, within=False)
        rank.history.append(arrival)
        if self.on_note is not None:
            self.on_note(rank, arrival)
        return arrival

    def _complete(self, group: Group, collective: Collective, combine: Combine) -> None:
        there = collective.arrivals
        try:
            combine(collective, [there[number] for number in group.ranks if number in there])
        except (ValueError, RuntimeError, TypeError, IndexError) as error:
            message = str(error).splitlines()[0] if str(error) else type(error).__name__
            self._mismatched(next(reversed(there)), collective, message)
            return
        collective.done = True
        self.refused = 0
        del group.open[collective.position]
        for arrival in there.values():
            arrival.payload = None

    def _mismatched(self, rank: int, collective: Collective, message: str) -> None:
        collective.broken = True
        if self.failure is None:
            group, position = collective.group, collective.position
            self.failure = Failure(What.MISMATCH, rank, group, position, message)

    # -- ranks that die ----------------------------------------------------------------------

    def may_die(self, rank: Rank, arrival: Arrival, *, within: bool = True) -> bool:
        """Does the running rank die at this operation? True: in it, once it has done its part.
        If it dies before, this does not return."""
        if len(self.killed) >= self.kills or self.failure is not None:
            return False
        chosen = self._strategy.die(self.asked, len(self.choices))
        self.asked += 1
        chosen = min(chosen, 2 if within else 1)
        self.choices.append(chosen)
        if chosen == 1:
            self.die(rank, arrival)
        return chosen == 2

    def die(self, rank: Rank, at: Arrival, *, within: bool = False) -> NoReturn:
        """The running rank is killed."""
        self.killed.append(Killed(rank.number, at, within, self.clock_ns))
        self.stop(rank, "killed")

    def kill(self, rank: Rank, frame: FrameType | None) -> None:
        """The running rank kills itself."""
        code, line = self.files.place(frame)
        self.die(rank, Arrival(rank.number, Operation("kill"), None, code, line))

    def leave(self, rank: Rank, how: str) -> None:
        """A rank's process has ended in this way, and the others cannot reach it any more."""
        rank.ended = how
        self.gone.append(rank.number)
        self.polls = 0
        for group in self.groups:
            if group.living:
                for collective in list(group.open.values()):
                    if not collective.broken and self._all_there(collective):
                        self._complete(group, collective, collective.finish)
        self.tell_all()

    def stop(self, rank: Rank, how: str) -> NoReturn:
        """The running rank's process ends in this way, with none of what it would clean up."""
        self.leave(rank, how)
        self._stay(rank)

    def abort(self, rank: Rank) -> NoReturn:
        """The running rank ends the whole job."""
        for other in self.ranks:
            if not other.ended:
                self.leave(other, "aborted")
        self._stay(rank)

    def _stay(self, rank: Rank) -> NoReturn:
        if self.on_gone is not None:
            self.on_gone(rank)
        raise Died

    def _all_there(self, collective: Collective) -> bool:
        members = self.groups[collective.group].ranks
        return all(r in collective.arrivals or r in self.gone for r in members)

    def tell_all(self) -> None:
        """Those that wait for what never comes any more are told, each in its time."""
        for rank in self.ranks:
            if rank.on is not None and not rank.ended and not rank.on.done:
                self.tell(rank, rank.on)

    def tell(self, rank: Rank, on: Wait) -> None:
        """The same for one that waits."""
        told_ns = on.told_ns(self)
        if told_ns and (not rank.deadline_ns or told_ns < rank.deadline_ns):
            rank.deadline_ns = told_ns

    def refuse(self, rank: Rank) -> None:
        """A rank gets an error because one is gone. Raises Stop, with the failure noted, if that
        goes on and on."""
        self.refused += 1
        if self.refused > MOST_REFUSED:
            told = f"after {MOST_REFUSED:,} errors in a row about a rank that is gone"
            self.fail(Failure(What.SPIN, rank.number, message=told))

    def torn(self, rank: Rank, on: Wait) -> bool:
        """A member has died in this collective, which is done. Does this rank get an error, and not
        the result? A choice of the schedule."""
        return self.choose((rank.number, on.torn)) == on.torn
