"""What the virtual world knows of its ranks when they are stuck: all of it, so nothing is asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import CORO_CLOSED, getcoroutinestate
from typing import Any, Final

import msgspec

from adpkv.core.plan import Plan
from adpkv.diagnosis.evidence import Evidence, Members, Position, Standing, State
from adpkv.diagnosis.frames import program_stack
from adpkv.diagnosis.local import NOTHING_KNOWN, Local
from adpkv.diagnosis.report import noticed
from adpkv.errors import StuckError
from adpkv.executor.digest import PlanDigest
from adpkv.executor.meetings import WORLD, Gone, Meeting, Pause, Step, Wait
from adpkv.worlds.virtual.group import VirtualGroup, awaited

__all__ = ["testimony"]

STOPPED: Final = "a stopped process"
"""The kind of a pause that is a suspended process (`worlds.virtual.strikes`)."""

GONE: Final = (State.STOPPED, State.DEAD)


def testimony(
    groups: Sequence[VirtualGroup],
    error: StuckError,
    now_ns: int,
    look: Callable[[int, Meeting | None], Local] | None,
    *,
    coordinated: bool,
) -> Evidence:
    """The evidence for an error of these groups; `look` tells what a rank itself knows."""
    plans = _Plans()
    standings = [standing for group in groups for standing in _of_group(group, now_ns, look, plans)]
    members = [
        Members(group.instance.index, group.instance.name, _counted_on(group)) for group in groups
    ]
    everybody = Members(WORLD, "the whole job", tuple(r for m in members for r in m.ranks))
    return Evidence(
        world="virtual",
        error=noticed(error),
        message=str(error),
        standings=tuple(sorted(standings, key=lambda standing: standing.rank)),
        groups=(*members, everybody),
        group=error.group,
        at_s=now_ns / 1e9,
        coordinator="waits for mail" if coordinated else "",
    )


def _counted_on(group: VirtualGroup) -> tuple[int, ...]:
    """Whom its members may be waiting for: not the dead, once they have met without them."""
    ops = [awaited(program) for program in group.programs]
    went_on = group.collectives > group.met_with_dead or any(
        not isinstance(op, Pause | Gone) for op in ops
    )
    return tuple(group.members if group.dead and went_on else group.instance.members)


def _of_group(
    group: VirtualGroup,
    now_ns: int,
    look: Callable[[int, Meeting | None], Local] | None,
    plans: _Plans,
) -> list[Standing]:
    index, halt = group.instance.index, group.course.halt
    last = tuple(
        msgspec.structs.replace(Position.of(op, number, plans(op.plan)), began_ns=at_ns)
        for number, at_ns, op in group.history
    )
    since_s = None if halt is None else (now_ns - halt.since_ns) / 1e9
    found = [Standing(rank, index, State.DEAD, last=last) for rank in group.dead]
    for place, (rank, program) in enumerate(zip(group.members, group.programs, strict=True)):
        op = awaited(program)
        known = NOTHING_KNOWN if look is None else look(rank, op)
        state = _state(program, op)
        # A process that is suspended or dead is in no meeting; its kind and site say no more.
        at = None if op is None or state in GONE else _position(group, place, op, plans)
        standing = Standing(
            rank,
            index,
            state,
            at,
            since_s,
            # What all are in right now is no longer behind them.
            last[:-1] if op is group.standing[place] and last else last,
            known.values,
            known.pins,
            known.peers,
            known.mail,
            program_stack(program),
        )
        found.append(standing)
    return found


def _position(group: VirtualGroup, place: int, op: Meeting, plans: _Plans) -> Position:
    """Where a member is; one that was left out of iterations is where its group is by now."""
    number = 0 if isinstance(op, Pause | Gone) or op.group == WORLD else group.collectives + 1
    batch = None
    if op is group.standing[place] and isinstance(op, Step | Wait):
        number = group.collectives if isinstance(op, Step) else 0
        if isinstance(op, Step):
            batch = op.batch_after(group.steps[place])
        at = Position.of(op, number, plans(group.plan), batch)
        return Position(at.group, at.kind, at.site, group.iteration, number, at.argument, at.plan)
    return Position.of(op, number, plans(op.plan), batch)


def _state(program: Any, op: Meeting | None) -> State:
    if op is None:
        left = getcoroutinestate(program) == CORO_CLOSED
        return State.LEFT if left else State.UNBEGUN
    if isinstance(op, Gone):
        return State.DEAD
    if isinstance(op, Pause):
        return State.STOPPED if op.kind == STOPPED else State.ALONE
    return State.MEETING


class _Plans:
    """Plans by name. Here they are compared by identity, so equal ones that are two get two."""

    def __init__(self) -> None:
        self._digest = PlanDigest()
        self._names: dict[int, str] = {}
        self._kept: list[Any] = []

    def __call__(self, plan: Any) -> str:
        if plan is None:
            return ""
        name = self._names.get(id(plan))
        if name is None:
            self._kept.append(plan)  # or its id could be another's
            text = f"{self._digest(plan):08x}" if isinstance(plan, Plan) else "plan"
            same = sum(other.partition("'")[0] == text for other in self._names.values())
            name = self._names[id(plan)] = text + "'" * same
        return name
