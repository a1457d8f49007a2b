"""Checks a program: many schedules, the first failure made simple, and the report about it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from adpkv.errors import TargetError, UnendingRankError
from adpkv.rank_programs.choices import FirstOption, Recorded, to_token
from adpkv.rank_programs.classify import classify
from adpkv.rank_programs.evidence import Evidence, evidence_of
from adpkv.rank_programs.failure import What
from adpkv.rank_programs.killed import KilledRanks
from adpkv.rank_programs.races import Race, races_of
from adpkv.rank_programs.reasons import reason_of
from adpkv.rank_programs.released import is_open, left_out
from adpkv.rank_programs.report import Report, Why
from adpkv.rank_programs.session import Session
from adpkv.rank_programs.shrinking import simpler
from adpkv.rank_programs.strategies import EXHAUSTIVE, Plain, schedules_of
from adpkv.rank_programs.walking import Walked, walk
from adpkv.rank_programs.world import World

__all__ = ["Checked", "Plan", "check", "replay"]

SCHEDULES: Final = 1_000

NEVER_AWAITED = " was never awaited"
"""How Python's warning of a coroutine that nobody awaits ends."""


class Plan(msgspec.Struct, frozen=True):
    """Which schedules."""

    schedules: int | None = SCHEDULES
    """At most so many; None for as many as the strategy makes of itself: 1,000, or with
    `exhaustive` all."""
    seconds: float = 60.0
    """Real time after which no further schedule begins."""
    strategy: str = "random"
    seed: int = 0
    """Of the schedules."""

    @property
    def most(self) -> int:
        """At most so many schedules."""
        if self.schedules is not None:
            return self.schedules
        return sys.maxsize if self.strategy == EXHAUSTIVE else SCHEDULES


class Checked(msgspec.Struct, frozen=True):
    """What came out."""

    schedules: int
    operations: int
    """Of the first schedule, all ranks together."""
    seconds: float
    report: Report | None = None
    killed: KilledRanks = msgspec.field(default_factory=KilledRanks)
    """What came of ranks that died."""
    walked: Walked | None = None
    """With `exhaustive`."""


def check(
    session: Session,
    plan: Plan,
    progress: Callable[[int], None] | None = None,
    *,
    meets: bool = True,
) -> Checked:
    """Perform schedules until one fails, or the plan is done. With `meets` a program whose ranks
    never meet is refused; without, it is performed once."""
    schedules_of(plan.strategy, 0, Plain(0, 0, 0))
    began = time.monotonic()
    seen: list[tuple[World, Evidence]] = []

    def look(world: World) -> None:
        seen[:] = [(world, evidence_of(world, session.files, session.outputs))]

    try:
        return _checked(session, plan, progress, look, began, meets=meets)
    except UnendingRankError as error:
        if not seen:
            raise
        # No schedule can follow: what was seen as the ranks stood is all there is.
        world, evidence = seen[-1]
        done = session.performed
        report = _told(session, evidence, world.choices, done, str(error))
        return Checked(done, world.operations, time.monotonic() - began, report)


def _checked(
    session: Session,
    plan: Plan,
    progress: Callable[[int], None] | None,
    look: Callable[[World], None],
    began: float,
    *,
    meets: bool,
) -> Checked:
    first = session.perform(FirstOption(), look)
    if first.failure is not None and not _met_nobody(first):
        return _failed(session, first, 1, began, first.operations)
    if not first.operations and not meets:
        return Checked(1, 0, time.monotonic() - began)
    if not first.operations:
        raise TargetError(
            f"{session.target.text}: its ranks never meet: no rank made a collective, or sent a"
            f" message{_hint(session.outputs)}"
        )
    if plan.strategy == EXHAUSTIVE:
        return _walked(session, plan, progress, look, began, first)
    schedules = schedules_of(plan.strategy, plan.seed, _plain(session, first))
    done, killed = 1, KilledRanks()
    while done < plan.most and time.monotonic() - began < plan.seconds:
        world = session.perform(schedules.schedule(done), look, schedules.prepare)
        done += 1
        killed.add(world)
        if world.failure is not None:
            found = _failed(session, world, done, began, first.operations)
            return msgspec.structs.replace(found, killed=killed)
        schedules.learn(world)
        if progress is not None:
            progress(done)
    return Checked(done, first.operations, time.monotonic() - began, killed=killed)


def _met_nobody(world: World) -> bool:
    """Were all of its calls forgotten? Then it says nothing that one of them was."""
    failure = world.failure
    return failure is not None and failure.what is What.UNWAITED and not world.operations


def _plain(session: Session, first: World) -> Plain:
    return Plain(len(first.choices) - first.asked, first.asked, session.settings.kills)


def _walked(
    session: Session,
    plan: Plan,
    progress: Callable[[int], None] | None,
    look: Callable[[World], None],
    began: float,
    first: World,
) -> Checked:
    killed = KilledRanks()
    walked, failed = walk(
        session,
        look,
        most=plan.most,
        until_s=began + plan.seconds,
        progress=progress,
        ended=killed.add,
    )
    done = session.performed
    found = Checked(done, first.operations, time.monotonic() - began)
    if failed is not None:
        found = _failed(session, failed, done, began, first.operations)
    return msgspec.structs.replace(found, walked=walked, killed=killed)


def _hint(outputs: Sequence[Sequence[str]]) -> str:
    """What may be the cause: a forgotten await, or what some rank printed last."""
    for lines in outputs:
        for line in lines:
            if line.endswith(NEVER_AWAITED):
                return f"; an await is forgotten: {line.replace(' RuntimeWarning:', '')}"
    last = next((lines[-1] for lines in outputs if lines), "")
    return f"; the last that one of them printed is: {last}" if last else ""


def replay(session: Session, choices: Sequence[int]) -> Checked:
    """Perform one schedule."""
    began = time.monotonic()
    world = session.perform(Recorded(choices))
    if world.failure is None:
        return Checked(1, world.operations, time.monotonic() - began)
    return _report(session, choices, 1, began, world.operations)


def _failed(session: Session, world: World, done: int, began: float, operations: int) -> Checked:
    assert world.failure is not None
    choices = world.choices
    if world.failure.what is not What.HANG:
        with session.silent():
            choices = simpler(session, world)
    return _report(session, choices, done, began, operations)


def _report(
    session: Session, choices: Sequence[int], done: int, began: float, operations: int
) -> Checked:
    with session.silent():
        report = _explained(session, choices, done)
    return Checked(done, operations, time.monotonic() - began, report)


def _explained(session: Session, choices: Sequence[int], done: int) -> Report:
    seen: list[Evidence] = []

    def look(world: World) -> None:
        seen.append(evidence_of(world, session.files, session.outputs))

    session.perform(Recorded(choices), look)
    if not seen:
        raise TargetError(
            f"{session.target.text}: the same schedule failed once and then did not: something"
            " outside the ranks decides, such as a set's order or the real time"
        )
    evidence = seen[0]
    if is_open(evidence):
        evidence = msgspec.structs.replace(evidence, left_out=left_out(session, choices))
    diagnosis = classify(evidence)
    why, races = None, tuple[Race, ...]()
    if evidence.failure.what is not What.HANG:
        why = reason_of(session, choices, diagnosis)
        races = races_of(session, choices)
    return _told(session, evidence, choices, done, why=why, races=races)


def _told(
    session: Session,
    evidence: Evidence,
    choices: Sequence[int],
    done: int,
    unending: str = "",
    why: Why | None = None,
    races: tuple[Race, ...] = (),
) -> Report:
    token = to_token(choices)
    return Report(
        target=session.target.text,
        evidence=evidence,
        diagnosis=classify(evidence),
        why=why,
        schedules=done,
        choices=sum(1 for choice in choices if choice),
        token=token,
        replay=session.replay_line(token),
        races=races,
        unending=unending,
    )
