"""The last meetings of a group before its ranks parted, side by side, and where each was then."""

from __future__ import annotations

from typing import Final

import msgspec

from adpkv.diagnosis.divergence import known_places, sides_of
from adpkv.diagnosis.evidence import Evidence, Position
from adpkv.diagnosis.judging import Verdict

__all__ = ["MOST_BEFORE", "Row", "history"]

MOST_BEFORE: Final = 8
MOST_AFTER: Final = 4
"""Of the meetings behind the split, in which ranks already were in different places."""


class Row(msgspec.Struct, frozen=True):
    """Ranks that were in one meeting; `at` is None for those that were in none."""

    sequence: int
    at: Position | None
    ranks: tuple[int, ...]
    everybody: bool = False
    odd: bool = False


def history(evidence: Evidence, verdict: Verdict) -> list[Row]:
    """The last meetings, oldest first; then the one at which the ranks parted, a row for each
    side; then what came after it. Where nobody parted, the last meetings alone."""
    members = evidence.of_group(verdict.group)
    ranks = tuple(member.rank for member in members)
    split = verdict.split
    if split is None:
        last = next((member.last for member in members if member.last), ())
        own = [p for p in last if p.group == verdict.group][-MOST_BEFORE:]
        return [Row(p.sequence, p, ranks, everybody=True) for p in own]
    rows = [Row(p.sequence, p, ranks, everybody=True) for p in split.before[-MOST_BEFORE:]]
    rows += [Row(split.sequence, side.at, side.ranks, odd=True) for side in split.odd]
    rows.append(Row(split.sequence, split.common.at, split.common.ranks))
    places = {member.rank: known_places(member, verdict.group) for member in members}
    numbers = {n for found in places.values() for n in found if split.sequence}
    later = sorted(n for n in numbers if n > split.sequence)
    odd = set(verdict.outliers)
    for sequence in later[:MOST_AFTER]:
        there = {rank: found[sequence] for rank, found in places.items() if sequence in found}
        for side in sides_of(dict(there)):
            rows.append(Row(sequence, side.at, side.ranks, odd=odd.issuperset(side.ranks)))
    return rows
