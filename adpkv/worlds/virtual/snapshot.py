"""The evidence about a stuck virtual world. Everything is known, so no rank has to be asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import CORO_CLOSED, getcoroutinestate
from typing import Any, Final

import msgspec

from adpkv.core.plan import Plan
from adpkv.diagnosis.evidence import Evidence, Members, Position, RankState, State
from adpkv.diagnosis.frames import program_stack
from adpkv.diagnosis.rank_knowledge import NOTHING_KNOWN, RankKnowledge
from adpkv.diagnosis.report import noticed
from adpkv.errors import StuckError
from adpkv.executor.collectives import WORLD, Gone, Operation, Pause, Step, Wait
from adpkv.executor.digest import PlanDigest
from adpkv.worlds.virtual.group import VirtualGroup

__all__ = ["collect"]

STOPPED: Final = "a stopped process"
"""The kind of a `Pause` that stands for a suspended process (`faults.process_virtual`)."""

GONE: Final = (State.STOPPED, State.FAILED)


def collect(
    groups: Sequence[VirtualGroup],
    error: StuckError,
    now_ns: int,
    knowledge_of: Callable[[int, Operation | None], RankKnowledge] | None,
    *,
    coordinated: bool,
) -> Evidence:
    """The evidence for an error of these groups; `knowledge_of(rank, op)` returns what a rank
    itself knows."""
    plans = _Plans()
    rank_states = [
        rank_state
        for group in groups
        for rank_state in _of_group(group, now_ns, knowledge_of, plans)
    ]
    members = [
        Members(group.instance.index, group.instance.name, _counted_on(group)) for group in groups
    ]
    everybody = Members(WORLD, "the whole job", tuple(r for m in members for r in m.ranks))
    return Evidence(
        world="virtual",
        error=noticed(error),
        message=str(error),
        rank_states=tuple(sorted(rank_states, key=lambda rank_state: rank_state.rank)),
        groups=(*members, everybody),
        group=error.group,
        at_s=now_ns / 1e9,
        coordinator="waits for messages" if coordinated else "",
    )


def _counted_on(group: VirtualGroup) -> tuple[int, ...]:
    """The ranks for which the group's members may be waiting. Failed ranks are not among them once
    the group has completed a collective without them."""
    ops = [group.awaits(index) for index in range(len(group.members))]
    went_on = group.collectives > group.collectives_with_failed or any(
        not isinstance(op, Pause | Gone) for op in ops
    )
    return tuple(group.members if group.failed and went_on else group.instance.members)


def _of_group(
    group: VirtualGroup,
    now_ns: int,
    knowledge_of: Callable[[int, Operation | None], RankKnowledge] | None,
    plans: _Plans,
) -> list[RankState]:
    index, paused = group.instance.index, group.course.paused
    last = tuple(
        msgspec.structs.replace(Position.of(op, number, plans(op.plan)), began_ns=at_ns)
        for number, at_ns, op in group.recent()
    )
    since_s = None if paused is None else (now_ns - paused.since_ns) / 1e9
    found = [RankState(rank, index, State.FAILED, last=last) for rank in group.failed]
    for place, rank in enumerate(group.members):
        op = group.awaits(place)
        program = None if rank in group.programs.ended else group.programs[place]
        known = NOTHING_KNOWN if knowledge_of is None else knowledge_of(rank, op)
        state = _state(program, op)
        # A suspended or failed process is in no collective: what it awaits is only a placeholder.
        at = None if op is None or state in GONE else _position(group, place, op, plans)
        rank_state = RankState(
            rank,
            index,
            state,
            at,
            since_s,
            # Without the collective in which all members still are.
            last[:-1] if op is group.current[place] and last else last,
            known.values,
            known.pins,
            known.peers,
            known.messages,
            program_stack(program, "" if group.phases is None or op is None else op.kind),
        )
        found.append(rank_state)
    return found


def _position(group: VirtualGroup, place: int, op: Operation, plans: _Plans) -> Position:
    """Where a member is. A quiet member that was left out of iterations is where its group is by
    now."""
    number = 0 if isinstance(op, Pause | Gone) or op.group == WORLD else group.collectives + 1
    batch = None
    if op is group.current[place] and isinstance(op, Step | Wait):
        number = group.collectives if isinstance(op, Step) else 0
        if isinstance(op, Step):
            batch = op.batch_after(group.offers.steps(place))
        at = Position.of(op, number, plans(group.plan), batch)
        return Position(at.group, at.kind, at.site, group.iteration, number, at.argument, at.plan)
    return Position.of(op, number, plans(op.plan), batch)


def _state(program: Any, op: Operation | None) -> State:
    if op is None:
        left = program is None or getcoroutinestate(program) == CORO_CLOSED
        return State.LEFT if left else State.UNBEGUN
    if isinstance(op, Gone):
        return State.FAILED
    if isinstance(op, Pause):
        return State.STOPPED if op.kind == STOPPED else State.ALONE
    return State.COLLECTIVE


class _Plans:
    """Names for plans. Virtual ranks compare plans by identity, so two plans that are equal but
    distinct get two names."""

    def __init__(self) -> None:
        self._digest = PlanDigest()
        self._names: dict[int, str] = {}
        self._kept: list[Any] = []

    def __call__(self, plan: Any) -> str:
        if plan is None:
            return ""
        name = self._names.get(id(plan))
        if name is None:
            self._kept.append(plan)  # keeps it alive, or its id could be reused
            text = f"{self._digest(plan):08x}" if isinstance(plan, Plan) else "plan"
            same = sum(other.partition("'")[0] == text for other in self._names.values())
            name = self._names[id(plan)] = text + "'" * same
        return name
