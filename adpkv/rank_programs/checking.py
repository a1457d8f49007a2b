"""Checks a program: many schedules, the first failure made simple, and the report about it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import msgspec

from adpkv.errors import TargetError, UnendingRankError
from adpkv.rank_programs.choices import FirstOption, Recorded, Strategy, strategy_of, to_token
from adpkv.rank_programs.classify import classify
from adpkv.rank_programs.evidence import Evidence, evidence_of
from adpkv.rank_programs.failure import Failure, What
from adpkv.rank_programs.reasons import reason_of
from adpkv.rank_programs.report import Report, Why
from adpkv.rank_programs.session import Session
from adpkv.rank_programs.world import World

__all__ = ["Checked", "Plan", "check", "replay"]

MOST_SIMPLER = 60
"""Simpler schedules that are tried once one has failed."""

SIMPLER_SECONDS = 5.0


class Plan(msgspec.Struct, frozen=True):
    """Which schedules."""

    schedules: int = 1000
    seconds: float = 60.0
    """Real time after which no further schedule begins."""
    strategy: str = "random"
    seed: int = 0
    """Of the schedules."""


class Checked(msgspec.Struct, frozen=True):
    """What came out."""

    schedules: int
    operations: int
    """Of the first schedule, all ranks together."""
    seconds: float
    report: Report | None = None


def check(
    session: Session,
    plan: Plan,
    progress: Callable[[int], None] | None = None,
    *,
    meets: bool = True,
) -> Checked:
    """Perform schedules until one fails, or the plan is done. With `meets` a program whose ranks
    never meet is refused; without, it is performed once."""
    strategy_of(plan.strategy, 0)
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
    if first.failure is not None:
        return _failed(session, first, 1, began, first.operations)
    if not first.operations and not meets:
        return Checked(1, 0, time.monotonic() - began)
    if not first.operations:
        last = next((lines[-1] for lines in session.outputs if lines), "")
        raise TargetError(
            f"{session.target.text}: its ranks never meet: no rank made a collective, or sent a"
            " message" + (f"; the last that one of them printed is: {last}" if last else "")
        )
    done = 1
    while done < plan.schedules and time.monotonic() - began < plan.seconds:
        strategy: Strategy = strategy_of(plan.strategy, plan.seed * 1_000_003 + done)
        world = session.perform(strategy, look)
        done += 1
        if world.failure is not None:
            return _failed(session, world, done, began, first.operations)
        if progress is not None:
            progress(done)
    return Checked(done, first.operations, time.monotonic() - began)


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
        choices = _simpler(session, choices, world.failure)
    return _report(session, choices, done, began, operations)


def _simpler(session: Session, choices: Sequence[int], failure: Failure) -> list[int]:
    """A schedule with as few choices other than the first option as a bounded search finds, that
    fails in the same way."""
    kept = list(choices)
    until = time.monotonic() + SIMPLER_SECONDS
    tried = 0
    size = max(1, sum(1 for choice in kept if choice))
    while size >= 1 and tried < MOST_SIMPLER and time.monotonic() < until:
        places = [place for place, choice in enumerate(kept) if choice]
        progress = False
        for start in range(0, len(places), size):
            if tried >= MOST_SIMPLER or time.monotonic() >= until:
                break
            without = set(places[start : start + size])
            attempt = [0 if place in without else choice for place, choice in enumerate(kept)]
            tried += 1
            world = session.perform(Recorded(attempt))
            if world.failure is not None and _same(world.failure, failure):
                kept, progress = world.choices, True
                break
        if not progress:
            size //= 2
        else:
            size = min(size, max(1, sum(1 for choice in kept if choice)))
            if not any(kept):
                break
    return kept


def _same(one: Failure, other: Failure) -> bool:
    return (one.what, one.group) == (other.what, other.group)


def _report(
    session: Session, choices: Sequence[int], done: int, began: float, operations: int
) -> Checked:
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
    diagnosis = classify(evidence)
    why = None
    if evidence.failure.what is not What.HANG:
        why = reason_of(session, choices, diagnosis)
    report = _told(session, evidence, choices, done, why=why)
    return Checked(done, operations, time.monotonic() - began, report)


def _told(
    session: Session,
    evidence: Evidence,
    choices: Sequence[int],
    done: int,
    unending: str = "",
    why: Why | None = None,
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
        unending=unending,
    )
