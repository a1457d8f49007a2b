"""Ranks that are in the same place are one line of a report, so that a thousand fit a screen."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from adpkv.diagnosis.evidence import Evidence, Position, Standing, State
from adpkv.diagnosis.judging import Verdict

__all__ = ["RankClass", "folded"]


class RankClass(msgspec.Struct, frozen=True):
    """Ranks of equal state, operation, position and site."""

    ranks: tuple[int, ...]
    state: State
    odd: bool
    concerned: bool
    """Members of the group in which the job got stuck."""
    at: Position | None
    since_s: float | None = None
    """The longest."""
    stack: tuple[str, ...] = ()
    """Of the first rank whose stack is known."""


def folded(evidence: Evidence, verdict: Verdict) -> list[RankClass]:
    """All ranks: the outliers first, then the rest of their group, then the others. Those are told
    apart by what they do only: each group of a large job is at another iteration."""
    odd = set(verdict.outliers)
    concerned = {standing.rank for standing in evidence.of_group(verdict.group)}
    classes: dict[tuple[object, ...], list[Standing]] = {}
    for standing in evidence.standings:
        key = _key(standing, odd, concerned)
        classes.setdefault(key, []).append(standing)
    found = [_class(members, odd, concerned) for members in classes.values()]
    return sorted(found, key=lambda c: (not c.odd, not c.concerned, len(c.ranks), c.ranks))


def _key(
    standing: Standing, odd: Collection[int], concerned: Collection[int]
) -> tuple[object, ...]:
    at = standing.at
    place: tuple[object, ...] = () if at is None else (at.kind, at.site)
    if standing.rank in concerned and at is not None:
        place = (*place, at.group, at.iteration, at.sequence, at.argument, at.plan)
    return standing.rank in odd, standing.rank in concerned, standing.state, place


def _class(
    members: Sequence[Standing], odd: Collection[int], concerned: Collection[int]
) -> RankClass:
    first = members[0]
    waited = [m.since_s for m in members if m.since_s is not None]
    at = first.at
    if at is not None and first.rank not in concerned:
        positions = {(m.at.iteration, m.at.sequence) for m in members if m.at is not None}
        if len(positions) > 1:
            at = msgspec.structs.replace(at, iteration=-1, sequence=0)
    return RankClass(
        ranks=tuple(member.rank for member in members),
        state=first.state,
        odd=first.rank in odd,
        concerned=first.rank in concerned,
        at=at,
        since_s=max(waited) if waited else None,
        stack=next((member.stack for member in members if member.stack), ()),
    )
