"""Why the outliers diverged: the values that only they have, beside those of the other ranks, and
the last collectives of the group before its ranks diverged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from adpkv.diagnosis.classify import Diagnosis
from adpkv.diagnosis.divergence import known_places, sides_of
from adpkv.diagnosis.evidence import Evidence, Position, RankState

__all__ = ["MOST_BEFORE", "MOST_DIFFERENCES", "Difference", "Row", "differences", "history"]

MOST_BEFORE: Final = 8
MOST_AFTER: Final = 4
"""Collectives after the split, in which the ranks already were in different places."""


class Row(msgspec.Struct, frozen=True):
    """The ranks that were in one collective; `at` is None for those that were in none."""

    sequence: int
    at: Position | None
    ranks: tuple[int, ...]
    everybody: bool = False
    is_outlier: bool = False


def history(evidence: Evidence, diagnosis: Diagnosis) -> list[Row]:
    """The last collectives of the group, oldest first; then the one at which the ranks diverged,
    with a row for each side; then the ones after it. If no rank diverged, only the last
    collectives."""
    members = evidence.of_group(diagnosis.group)
    ranks = tuple(member.rank for member in members)
    split = diagnosis.split
    if split is None:
        last = next((member.last for member in members if member.last), ())
        own = [p for p in last if p.group == diagnosis.group][-MOST_BEFORE:]
        return [Row(p.sequence, p, ranks, everybody=True) for p in own]
    rows = [Row(p.sequence, p, ranks, everybody=True) for p in split.before[-MOST_BEFORE:]]
    rows += [Row(split.sequence, side.at, side.ranks, is_outlier=True) for side in split.outliers]
    rows.append(Row(split.sequence, split.common.at, split.common.ranks))
    places = {member.rank: known_places(member, diagnosis.group) for member in members}
    numbers = {n for found in places.values() for n in found if split.sequence}
    later = sorted(n for n in numbers if n > split.sequence)
    outliers = set(diagnosis.outliers)
    for sequence in later[:MOST_AFTER]:
        there = {rank: found[sequence] for rank, found in places.items() if sequence in found}
        for side in sides_of(dict(there)):
            rows.append(
                Row(sequence, side.at, side.ranks, is_outlier=outliers.issuperset(side.ranks))
            )
    return rows


MOST_DIFFERENCES = 6
"""Shown in the text report; `deadlock.json` has the rest."""

Value = int | str | bool


class Difference(msgspec.Struct, frozen=True):
    """A value that the outliers have and the other ranks do not."""

    name: str
    outliers: tuple[Value, ...]
    """The outliers' values, each once."""
    others: tuple[Value, ...]
    clear: bool
    """Whether the others all have the same value."""


def differences(evidence: Evidence, diagnosis: Diagnosis) -> list[Difference]:
    """The values in which the outliers differ from all others. Those on which the others agree come
    first; beyond that, in the order of `rank_knowledge`. Ranks of an ADP group differ in much that
    is no fault, such as their load."""
    by_rank = {rank_state.rank: rank_state for rank_state in evidence.rank_states}
    outliers = [by_rank[rank] for rank in diagnosis.outliers if by_rank[rank].values]
    others = [by_rank[rank] for rank in diagnosis.others if by_rank[rank].values]
    if not outliers or not others:
        return []
    found = []
    for name in outliers[0].values:
        ours, theirs = _values(outliers, name), _values(others, name)
        if ours and theirs and not set(ours) & set(theirs):
            found.append(Difference(name, ours, theirs, clear=len(theirs) == 1))
    return sorted(found, key=lambda difference: not difference.clear)


def _values(rank_states: Sequence[RankState], name: str) -> tuple[Value, ...]:
    """Each value once, in order."""
    found = {rank_state.values[name] for rank_state in rank_states if name in rank_state.values}
    return tuple(sorted(found, key=lambda value: (str(type(value)), value)))
