"""Makes a find small: fewer choices and context switches, and the same with fewer ranks.

What is tried is performed; what fails in the same way is kept. All of it within bounds.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

import msgspec

from adpkv.errors import AdpkvError
from adpkv.rank_programs.choices import FirstOption, RandomOption, Recorded, to_token
from adpkv.rank_programs.classify import classify
from adpkv.rank_programs.evidence import Evidence, evidence_of
from adpkv.rank_programs.failure import Failure, What
from adpkv.rank_programs.report import Report, Smaller
from adpkv.rank_programs.session import Session
from adpkv.rank_programs.world import World

__all__ = ["same", "simpler", "with_fewer_ranks"]

MOST_SIMPLER: Final = 120
"""Simpler schedules that are tried once one has failed."""

SIMPLER_SECONDS: Final = 5.0
FEWER_SECONDS: Final = 2.0
"""Real time to look for the same with fewer ranks."""

SCHEDULES_EACH: Final = 30
"""Of each smaller number of ranks."""


def same(one: Failure, other: Failure) -> bool:
    """Did two schedules fail in the same way?"""
    return (one.what, one.group, _kind(one)) == (other.what, other.group, _kind(other))


def _kind(failure: Failure) -> str:
    """The kind of exception."""
    return failure.message.partition(":")[0] if failure.what is What.EXCEPTION else ""


class _Search:
    """The simplest schedule so far."""

    def __init__(self, session: Session, world: World) -> None:
        assert world.failure is not None
        self._session, self._failure = session, world.failure
        self.choices, self.switches = list(world.choices), world.switches
        self._tries, self._until = 0, time.monotonic() + SIMPLER_SECONDS

    @property
    def spent(self) -> bool:
        """No more may be tried."""
        return self._tries >= MOST_SIMPLER or time.monotonic() >= self._until

    def places(self) -> list[int]:
        """Where it does not take the first option."""
        return [place for place, choice in enumerate(self.choices) if choice]

    def takes(self, attempt: Sequence[int], most_switches: int | None = None) -> bool:
        """Does it fail in the same way? Then it is the simplest."""
        if self.spent:
            return False
        self._tries += 1
        world = self._session.perform(Recorded(attempt))
        if world.failure is None or not same(world.failure, self._failure):
            return False
        if most_switches is not None and world.switches > most_switches:
            return False
        self.choices, self.switches = list(world.choices), world.switches
        return True


def simpler(session: Session, world: World) -> list[int]:
    """The choices of a schedule that fails in the same way, with as few other than the first option
    as the search finds, and then with as few context switches."""
    search = _Search(session, world)
    size = max(1, len(search.places()))
    while size >= 1 and not search.spent and search.places():
        if not any(_without(search, start, size) for start in range(0, len(search.places()), size)):
            size //= 2
        size = min(size, len(search.places()))
    for place in reversed(search.places()):
        for other in range(1, search.choices[place] if place < len(search.choices) else 0):
            attempt = [*search.choices[:place], other, *search.choices[place + 1 :]]
            if search.takes(attempt, search.switches - 1):
                break
    return search.choices


def _without(search: _Search, start: int, size: int) -> bool:
    left_out = set(search.places()[start : start + size])
    attempt = [0 if place in left_out else c for place, c in enumerate(search.choices)]
    return search.takes(attempt)


def with_fewer_ranks(session: Session, report: Report) -> Smaller | None:
    """The same find with fewer ranks than the session's; None if there is none. The session is
    over: it makes others of its own."""
    settings = session.settings
    if report.evidence.failure.what is What.HANG:
        return None
    until = time.monotonic() + FEWER_SECONDS
    for ranks in range(2, settings.ranks):
        if time.monotonic() >= until:
            return None
        try:
            with session.of(ranks) as other:
                found = _the_same(other, report, until)
        except AdpkvError:
            continue  # it needs more
        if found is not None:
            token = to_token(found)
            return Smaller(ranks, token, session.replay_line(token, ranks))
    return None


def _the_same(session: Session, report: Report, until: float) -> list[int] | None:
    """The choices of a schedule that fails as the report says."""
    seen: list[Evidence] = []

    def look(world: World) -> None:
        seen[:] = [evidence_of(world, session.files, session.outputs)]

    first = world = session.perform(FirstOption(), look)
    for number in range(SCHEDULES_EACH):
        if world.failure is not None and seen and _alike(seen[0], report.evidence):
            return simpler(session, world)
        if time.monotonic() >= until:
            return None
        world = session.perform(RandomOption(number, first.asked, session.settings.kills), look)
    return None


def _alike(one: Evidence, other: Evidence) -> bool:
    """The same kind of failure, of ranks at the same lines."""
    if (one.failure.what, _kind(one.failure)) != (other.failure.what, _kind(other.failure)):
        return False
    # As they stand: who left something out is known of one of them alone.
    other = msgspec.structs.replace(other, left_out={})
    if classify(one).kind is not classify(other).kind:
        return False
    return _lines(one) == _lines(other)


def _lines(evidence: Evidence) -> set[tuple[str, str, int]]:
    odd = set(classify(msgspec.structs.replace(evidence, left_out={})).odd)
    views = [view for view in evidence.ranks if view.rank in odd and view.at is not None]
    return {(v.state, v.at.file, v.at.line) for v in views if v.at is not None}
