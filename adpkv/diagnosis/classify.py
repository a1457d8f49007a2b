"""Classifies a stuck job: which of ten kinds of failure it is, where it began, and in one sentence.

A diagnosis names the first collective at which the ranks of a group diverge (`divergence`).
docs/diagnosis.md has the kinds and how each is told from the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum

import msgspec

from adpkv.diagnosis import sentences as say
from adpkv.diagnosis.divergence import Side, Split, first_split
from adpkv.diagnosis.evidence import Evidence, Position, RankState, State
from adpkv.executor.collectives import WORLD

__all__ = ["Diagnosis", "Kind", "classify"]


class Kind(StrEnum):
    """The kind of failure."""

    MISSING_PARTICIPANT = "missing participant"
    WRONG_OPERATION = "wrong operation"
    ARGUMENT_MISMATCH = "argument mismatch"
    WRONG_GROUP = "wrong group"
    ORDER_INVERSION = "order inversion"
    EARLY_EXIT = "early exit"
    CROSSED_PAYLOAD = "crossed payload"
    ZERO_TIME_LIVELOCK = "zero-time livelock"
    LOST_WAKE_UP = "lost wake-up"
    SYMMETRIC_WEDGE = "symmetric wedge"


class Diagnosis(msgspec.Struct, frozen=True):
    """What is wrong, and with which ranks."""

    kind: Kind
    sentence: str
    group: int
    outliers: tuple[int, ...]
    """The ranks that differ from the rest; none where all are in the same place."""
    others: tuple[int, ...]
    """The ranks to compare the outliers with."""
    split: Split | None = None


LAST: tuple[str, str] = ("world_allgather", "leave")
"""The job's last collective, as (kind, site). A rank that is in it has left its group's loop."""


def classify(evidence: Evidence) -> Diagnosis:
    """The diagnosis of a stuck job: the kind of failure, the outliers and a sentence."""
    if evidence.error == "livelock":
        return _livelock(evidence)
    for group in _suspects(evidence):
        split = first_split(evidence, group)
        if split is not None:
            return _of_split(evidence, split)
    return _of_standstill(evidence)


def _suspects(evidence: Evidence) -> list[int]:
    """The groups in the order in which to examine them: the one in which the problem was noticed,
    then those that have waited longest. The group of the whole job is not among them: in its one
    collective ranks wait for each other anyway."""
    own = [group.index for group in evidence.groups if group.index != WORLD]

    def waited(group: int) -> float:
        return max((member.since_s or 0.0 for member in evidence.of_group(group)), default=0.0)

    own.sort(key=lambda group: (group != evidence.group, -waited(group), group))
    return own


# -- ranks that diverge ------------------------------------------------------------------------


def _of_split(evidence: Evidence, split: Split) -> Diagnosis:
    by_rank = {rank_state.rank: rank_state for rank_state in evidence.rank_states}
    elsewhere = [side for side in split.outliers if side.at is not None]
    if elsewhere:
        return _elsewhere(split, elsewhere)
    absent = [by_rank[rank] for side in split.outliers for rank in side.ranks]
    gone = [s for s in absent if s.state is State.LEFT or _in_the_last_collective(s)]
    if gone:
        return _diagnosis(Kind.EARLY_EXIT, say.early_exit(split, gone), split, gone)
    strangers = [s for s in absent if s.state is State.COLLECTIVE and _group(s) != split.group]
    if strangers:
        return _in_another_group(evidence, split, strangers)
    return _diagnosis(Kind.MISSING_PARTICIPANT, say.missing(split, absent), split, absent)


def _elsewhere(split: Split, sides: Sequence[Side]) -> Diagnosis:
    """Members are in different collectives of one group."""
    common = _at(split.common)
    places = [_at(side) for side in sides]
    if any(at.kind != common.kind for at in places):
        kind, sentence = Kind.WRONG_OPERATION, say.wrong_operation(split, sides)
    elif any(at.site != common.site for at in places):
        kind, sentence = Kind.CROSSED_PAYLOAD, say.crossed_payload(split, sides)
    else:
        kind, sentence = Kind.ARGUMENT_MISMATCH, say.argument_mismatch(split, sides)
    outliers = tuple(sorted(rank for side in sides for rank in side.ranks))
    return Diagnosis(kind, sentence, split.group, outliers, split.common.ranks, split)


def _in_another_group(
    evidence: Evidence, split: Split, strangers: Sequence[RankState]
) -> Diagnosis:
    """Some members wait in a collective of another group."""
    common = _at(split.common)
    first = strangers[0]
    assert first.at is not None
    awaited = {rank_state.rank for rank_state in evidence.of_group(first.at.group)}
    crosswise = not awaited.isdisjoint(split.common.ranks)
    if crosswise and first.at.site != common.site:
        sentence = say.order_inversion(evidence, split, strangers)
        return _diagnosis(Kind.ORDER_INVERSION, sentence, split, strangers)
    return _diagnosis(
        Kind.WRONG_GROUP, say.wrong_group(evidence, split, strangers), split, strangers
    )


def _diagnosis(kind: Kind, sentence: str, split: Split, states: Iterable[RankState]) -> Diagnosis:
    outliers = tuple(sorted(rank_state.rank for rank_state in states))
    return Diagnosis(kind, sentence, split.group, outliers, split.common.ranks, split)


def _in_the_last_collective(rank_state: RankState) -> bool:
    at = rank_state.at
    return rank_state.state is State.COLLECTIVE and at is not None and (at.kind, at.site) == LAST


def _group(rank_state: RankState) -> int:
    return rank_state.group if rank_state.at is None else rank_state.at.group


def _at(side: Side) -> Position:
    assert side.at is not None, "it is there"
    return side.at


# -- ranks that do not diverge -----------------------------------------------------------------


def _of_standstill(evidence: Evidence) -> Diagnosis:
    """No rank diverges: all are in one collective, or all wait for input."""
    suspects = [*_suspects(evidence), WORLD]
    for group in suspects:
        members = evidence.of_group(group)
        places = [_wedged(member, group) for member in members]
        if places and all(at is not None and at.collective for at in places):
            ranks = tuple(member.rank for member in members)
            sentence = say.symmetric_wedge(evidence, group, places[0], ranks)
            return Diagnosis(Kind.SYMMETRIC_WEDGE, sentence, group, (), ranks)
    waiting = [s for s in evidence.rank_states if s.at is not None and not s.at.collective]
    if evidence.group is not None:
        waiting = [s for s in waiting if s.group == evidence.group] or waiting
    ranks = tuple(rank_state.rank for rank_state in waiting)
    group = waiting[0].group if waiting else WORLD
    return Diagnosis(Kind.LOST_WAKE_UP, say.lost_wake_up(evidence, waiting), group, ranks, ())


def _wedged(member: RankState, group: int) -> Position | None:
    """Where a member is in its group; None if it is not there. Its own part of a step counts as
    being there: all members may hang in their own parts."""
    at = member.at
    if member.state is State.COMPUTING and at is not None and at.group == group:
        return at
    return member.in_group(group)


def _livelock(evidence: Evidence) -> Diagnosis:
    group = suspects[0] if (suspects := _suspects(evidence)) else WORLD
    members = evidence.of_group(group)
    ranks = tuple(member.rank for member in members)
    sentence = say.livelock(evidence, group, members)
    return Diagnosis(Kind.ZERO_TIME_LIVELOCK, sentence, group, (), ranks)
