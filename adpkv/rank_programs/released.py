"""Who left a collective out, where all ranks that are missed wait elsewhere themselves.

Two ranks may wait for each other in two collectives because each comes to them in another order, or
because one of them has left one out. As they stand, nothing tells these apart: it takes what they
would do next. So the schedule is performed again, and once nobody can go on, those who are missed
in one collective are *excused*: the others go on with stand-ins for them. If all ranks end then,
and the excused never came to that collective, they have left it out, and everything else was a
consequence. If they come to it later, the order is what is wrong.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

from adpkv.errors import UnendingRankError
from adpkv.rank_programs.choices import Recorded
from adpkv.rank_programs.evidence import Evidence
from adpkv.rank_programs.failure import What
from adpkv.rank_programs.operations import Arrival, Collective
from adpkv.rank_programs.session import Session
from adpkv.rank_programs.world import World

__all__ = ["is_open", "left_out"]

MOST_EXCUSES: Final = 2
"""Of how many groups and members at once."""

MOST_SCHEDULES: Final = 24
MOST_SECONDS: Final = 2.0
"""Real time of a schedule: what a stand-in brings may make a program compute for ever."""

ALL_SECONDS: Final = 5.0
"""Real time of all of them."""


class Excuse(NamedTuple):
    """Members that are not waited for in a group."""

    group: int
    members: tuple[int, ...]


LeftOut = dict[tuple[int, int], tuple[int, ...]]
"""By group and position: the members that never would have come."""


def is_open(evidence: Evidence) -> bool:
    """Is it not known yet who is to blame? All that are missed wait elsewhere themselves."""
    if evidence.failure.what is not What.DEADLOCK:
        return False
    waiting = {view.waits_at for view in evidence.ranks if view.state == "waits"}
    missed = {
        evidence.ranks[rank].state
        for key in waiting
        if key is not None
        for rank in evidence.groups[key[0]][1]
        if rank not in evidence.open[key]
    }
    return len(waiting) > 1 and missed == {"waits"}


def left_out(session: Session, choices: Sequence[int]) -> LeftOut:
    """Who left out which collective; empty if that does not explain that they are stuck."""
    bound, driver = session.driver.most_seconds, session.driver
    driver.most_seconds = min(bound, MOST_SECONDS)
    try:
        return _searched(session, choices)
    except UnendingRankError:
        return {}
    finally:
        driver.most_seconds = bound


def _searched(session: Session, choices: Sequence[int]) -> LeftOut:
    """The explanation with the fewest excuses."""
    until = time.monotonic() + ALL_SECONDS
    tries: deque[tuple[Excuse, ...]] = deque([()])
    for _ in range(MOST_SCHEDULES):
        if not tries or time.monotonic() >= until:
            break
        attempt = _Attempt(tries.popleft())
        world = session.perform(Recorded(choices), prepare=attempt.prepare)
        if attempt.explains(world):
            return attempt.first
        if len(attempt.excuses) < MOST_EXCUSES:
            tries.extend((*attempt.excuses, more) for more in attempt.stuck)
    return {}


class _Attempt:
    """A schedule in which some members are excused."""

    def __init__(self, excuses: tuple[Excuse, ...]) -> None:
        self.excuses = excuses
        self.stuck: list[Excuse] = []
        """Who else would have to be excused, at the end, the fewest first."""
        self.first: LeftOut = {}
        self._spared: dict[tuple[int, int], int] = {}
        """By rank and group: how often it was excused."""
        self._world: World

    def prepare(self, world: World) -> None:
        """Before the schedule begins."""
        self._world = world
        world.on_stuck = self._go_on

    def explains(self, world: World) -> bool:
        """Have all ended, and the excused come less often than others of their group?"""
        if not self._spared or world.failure is not None:
            return False
        for rank, group in self._spared:
            most = max(self._came(other, group) for other in world.groups[group].ranks)
            if self._came(rank, group) >= most:
                return False
        return True

    def _came(self, rank: int, group: int) -> int:
        """To how many of the group's collectives the rank has come itself."""
        counts = self._world.ranks[rank].counts
        return counts.get(group, 0) - self._spared.get((rank, group), 0)

    def _go_on(self) -> bool:
        """Let those go on that wait for the excused alone."""
        waits = [rank.on for rank in self._world.ranks if not rank.ended]
        found = [on for on in waits if isinstance(on, Collective) and not on.done]
        missed = {self._missed(on): on for on in found}
        gone = [on for excuse, on in missed.items() if excuse in self.excuses]
        for on in gone:
            self._end(on)
        self.stuck = [] if gone else sorted(missed, key=lambda excuse: len(excuse.members))
        return bool(gone)

    def _missed(self, on: Collective) -> Excuse:
        members = self._world.groups[on.group].ranks
        return Excuse(on.group, tuple(rank for rank in members if rank not in on.arrivals))

    def _end(self, on: Collective) -> None:
        group, there = self._world.groups[on.group], on.arrivals
        some = next(iter(there.values()))
        excused = self._missed(on).members
        self.first.setdefault((on.group, on.position), excused)
        arrivals = [
            there.get(rank) or Arrival(rank, some.operation, some.payload, None, 0)
            for rank in group.ranks
        ]
        # Where stand-ins do not fit, its members go on without a result: one may raise then.
        with contextlib.suppress(Exception):
            on.finish(on, arrivals)
        on.done = True
        group.open.pop(on.position, None)
        for rank in excused:
            counts, key = self._world.ranks[rank].counts, (rank, group.number)
            counts[group.number] = counts.get(group.number, 0) + 1
            self._spared[key] = self._spared.get(key, 0) + 1
