"""The sentence of each diagnosis: where the ranks are, which ranks they keep waiting, and where
they left the common order."""

from __future__ import annotations

from collections.abc import Sequence

from adpkv.diagnosis.divergence import Side, Split
from adpkv.diagnosis.evidence import Evidence, Position, RankState, State
from adpkv.diagnosis.names import named, verb

__all__ = [
    "argument_mismatch",
    "crossed_payload",
    "early_exit",
    "livelock",
    "lost_wake_up",
    "missing",
    "order_inversion",
    "symmetric_wedge",
    "wrong_group",
    "wrong_operation",
]

_DOES = {
    State.STOPPED: ("its process is stopped", "their processes are stopped"),
    State.SILENT: ("its process does not answer", "their processes do not answer"),
    State.FAILED: ("it has failed", "they have failed"),
    State.UNBEGUN: ("it has not begun", "they have not begun"),
    State.LEFT: ("it has left", "they have left"),
    State.COMPUTING: ("it is computing its own part of it", "they are computing their own parts"),
    State.MOVING: ("it is on its way", "they are on their way"),
}
"""What a rank that is in no collective is doing, and the same for several ranks."""


def _are_in(side: Side) -> str:
    assert side.at is not None
    return f"{verb(side.ranks, 'is', 'are')} in {side.at.describe()}"


def _both(split: Split, outliers: Sequence[Side]) -> str:
    return "; ".join([*(_are_in(side) for side in outliers), _are_in(split.common)])


def _left_at(split: Split, outliers: Sequence[Side]) -> str:
    ranks = [rank for side in outliers for rank in side.ranks]
    iteration = min(side.at.iteration for side in outliers if side.at is not None)
    return f"{named(ranks)} left the common order at iteration {iteration}"


def wrong_operation(split: Split, outliers: Sequence[Side]) -> str:
    """Members are in collectives of different kinds."""
    return f"{_both(split, outliers)}: {_left_at(split, outliers)}"


def crossed_payload(split: Split, outliers: Sequence[Side]) -> str:
    """Members are in the same kind of collective, from different call sites."""
    both, left = _both(split, outliers), _left_at(split, outliers)
    return f"{both}: each would take the other's payload; {left}"


def argument_mismatch(split: Split, outliers: Sequence[Side]) -> str:
    """Members are in the same collective from the same call site, but differ in something that must
    be equal."""
    common = split.common.at
    assert common is not None
    told, iteration = [], common.iteration
    for side in (*outliers, split.common):
        at = side.at
        assert at is not None
        told.append(f"{verb(side.ranks, 'brings', 'bring')} {_argument(at, common, outliers)}")
        iteration = min(iteration, at.iteration)
    where = f"in {common.describe()}, iteration {iteration}"
    return f"{where}, {'; '.join(told)}"


def _argument(at: Position, common: Position, outliers: Sequence[Side]) -> str:
    """What differs, as one side has it."""
    places = [side.at for side in outliers if side.at is not None]
    if any(place.argument != common.argument for place in places):
        return f"the batch {at.argument or 'nothing'}"
    if any(place.iteration != common.iteration for place in places):
        return f"iteration {at.iteration}"
    return f"the plan {at.plan or '-'}"


def missing(split: Split, absent: Sequence[RankState]) -> str:
    """Some members have not come to the collective."""
    common = split.common.at
    assert common is not None
    ranks = [rank_state.rank for rank_state in absent]
    return (
        f"{named(ranks)} never came to {common.describe()}, iteration {common.iteration}:"
        f" {_whereabouts(absent)}; {verb(split.common.ranks, 'waits', 'wait')} there"
    )


def _whereabouts(absent: Sequence[RankState]) -> str:
    """What the absent members are doing instead, each activity once."""
    ways: dict[tuple[str, str], list[int]] = {}
    for rank_state in absent:
        ways.setdefault(_does(rank_state), []).append(rank_state.rank)
    if len(ways) == 1:
        (one, many) = next(iter(ways))
        return one if len(absent) == 1 else many
    return ", ".join(
        f"{named(ranks)}: {one if len(ranks) == 1 else many}" for (one, many), ranks in ways.items()
    )


def _does(rank_state: RankState) -> tuple[str, str]:
    at = rank_state.at
    if rank_state.state in _DOES or at is None:
        one, many = _DOES.get(rank_state.state, _DOES[State.MOVING])
        seen = ""
        if at is not None and rank_state.state is not State.COMPUTING:
            seen = f", last seen in {at.describe()}, iteration {at.iteration}"
        return one + seen, many + seen
    if rank_state.state is State.ALONE:
        where = at.describe(numbered=False)
        return f"it waits alone in {where}", f"they wait alone in {where}"
    where = f"in {at.describe()}, iteration {at.iteration}"
    return f"it is still {where}", f"they are still {where}"


def early_exit(split: Split, gone: Sequence[RankState]) -> str:
    """Some members have left the job or their loop."""
    common = split.common.at
    assert common is not None
    ranks = [rank_state.rank for rank_state in gone]
    return (
        f"{verb(ranks, 'has', 'have')} left the group;"
        f" {_are_in(split.common)}, iteration {common.iteration}, and"
        f" {'waits' if len(split.common.ranks) == 1 else 'wait'} there for"
        f" {'it' if len(ranks) == 1 else 'them'}"
    )


def _strangers(evidence: Evidence, strangers: Sequence[RankState]) -> tuple[str, str]:
    ranks = [rank_state.rank for rank_state in strangers]
    at = strangers[0].at
    assert at is not None
    return verb(ranks, "is", "are"), f"in {at.describe()} of {evidence.name(at.group)}"


def wrong_group(evidence: Evidence, split: Split, strangers: Sequence[RankState]) -> str:
    """Some members are in a collective of a group to which no other member of theirs will come."""
    who, where = _strangers(evidence, strangers)
    return f"{who} {where}; {_are_in(split.common)} of {evidence.name(split.group)}"


def order_inversion(evidence: Evidence, split: Split, strangers: Sequence[RankState]) -> str:
    """Two sets of ranks came to collectives of two groups in opposite orders."""
    who, where = _strangers(evidence, strangers)
    ranks = [rank_state.rank for rank_state in strangers]
    common = split.common
    return (
        f"{who} {where} and {'waits' if len(ranks) == 1 else 'wait'} there for"
        f" {named(common.ranks)};"
        f" {_are_in(common)} of {evidence.name(split.group)} and"
        f" {'waits' if len(common.ranks) == 1 else 'wait'} there for {named(ranks)}"
    )


def livelock(evidence: Evidence, group: int, members: Sequence[RankState]) -> str:
    """The group repeats collectives without end, and virtual time does not advance."""
    at = next((member.at for member in members if member.at is not None), None)
    what = (
        "collectives" if at is None else f"{at.describe(numbered=False)}, iteration {at.iteration}"
    )
    return f"{evidence.name(group)} repeats {what}, and time does not advance"


def lost_wake_up(evidence: Evidence, waiting: Sequence[RankState]) -> str:
    """All ranks wait for input."""
    ranks = [rank_state.rank for rank_state in waiting]
    where = sorted({s.at.describe(numbered=False) for s in waiting if s.at is not None})
    # Only in virtual time is everything known, and so also that no input will come.
    alone = evidence.world == "virtual"
    none = "no rank is left that could send any" if alone else "none has come"
    too = f"; the coordinator {evidence.coordinator}" if evidence.coordinator else ""
    return f"{verb(ranks, 'waits', 'wait')} for input in {', '.join(where)}, and {none}{too}"


def symmetric_wedge(
    evidence: Evidence, group: int, at: Position | None, ranks: Sequence[int]
) -> str:
    """All members are in one collective, and it does not end."""
    assert at is not None
    return (
        f"all of {evidence.name(group)} ({named(ranks)}) are in {at.describe()},"
        f" iteration {at.iteration}, and it does not end"
    )
