"""Finds the first collective of a group to which not all of its members came, or came alike.

The wait that is noticed is often innocent: ranks that diverged may go on, and hang in some later
collective (vllm-project/vllm #43547, an hour later). So the collectives that each rank remembers
are laid side by side by their sequence number in the group; the first difference counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from adpkv.diagnosis.evidence import Evidence, Position, RankState

__all__ = ["Side", "Split", "alike", "first_split", "known_places", "sides_of"]


class Side(msgspec.Struct, frozen=True):
    """Members that are in one place; `at` is None for those that are not in the collective at
    all."""

    at: Position | None
    ranks: tuple[int, ...]


class Split(msgspec.Struct, frozen=True):
    """The collective at which a group's members diverge."""

    group: int
    sequence: int
    common: Side
    """The side that kept to the group's usual order of collectives: it is where the group went the
    last time it had been at the same site. If history does not tell, the largest side."""
    outliers: tuple[Side, ...]
    """The other sides; those that are in another collective come before those that are in none."""
    before: tuple[Position, ...] = ()
    """The collectives before it, oldest first, as a member of the common side remembers them."""


def alike(one: Position, other: Position) -> bool:
    """Do two ranks at these positions match, so that the collective can complete?"""
    same = (one.group, one.kind, one.site, one.iteration, one.argument) == (
        other.group,
        other.kind,
        other.site,
        other.iteration,
        other.argument,
    )
    return same and (one.plan == other.plan or not one.plan or not other.plan)


def first_split(evidence: Evidence, group: int) -> Split | None:
    """The first collective at which the members diverge; None if all are in one collective, or if
    no member waits in one."""
    members = evidence.of_group(group)
    if len(members) < 2:
        return None
    now = {member.rank: member.in_group(group) for member in members}
    if not any(now.values()):
        return None
    if any(at is not None and not at.sequence for at in now.values()):
        return _split(group, 0, sides_of(now), members)
    known = {member.rank: known_places(member, group) for member in members}
    for sequence in sorted(set().union(*known.values())):
        found = {
            rank: places.get(sequence)
            for rank, places in known.items()
            # A rank that no longer remembers this collective was in it; where is not known.
            if not places or min(places) <= sequence
        }
        sides = sides_of(found)
        if len(sides) > 1:
            return _split(group, sequence, sides, members)
    return None


def known_places(member: RankState, group: int) -> dict[int, Position]:
    """By sequence number: the group's collectives that a member remembers, and the one it is in."""
    places = {p.sequence: p for p in member.last if p.group == group and p.sequence}
    at = member.in_group(group)
    if at is not None:
        places[at.sequence] = at
    return places


def sides_of(found: dict[int, Position | None]) -> list[Side]:
    """Ranks grouped by where they are, in order of their first rank; the absent ones last."""
    ranks: dict[tuple[object, ...], list[int]] = {}
    places: dict[tuple[object, ...], Position] = {}
    absent: list[int] = []
    for rank, at in found.items():
        if at is None:
            absent.append(rank)
            continue
        key = (at.kind, at.site, at.iteration, at.argument, at.plan)
        places.setdefault(key, at)
        ranks.setdefault(key, []).append(rank)
    sides = [Side(places[key], tuple(who)) for key, who in ranks.items()]
    return [*sides, Side(None, tuple(absent))] if absent else sides


def _split(
    group: int, sequence: int, sides: Sequence[Side], members: Sequence[RankState]
) -> Split | None:
    if len(sides) < 2:
        return None
    there = [side for side in sides if side.at is not None]
    before = _before(members, there[0].ranks, group, sequence)
    common = _on_the_order(there, before) or max(there, key=lambda side: len(side.ranks))
    outliers = tuple(side for side in sides if side is not common)
    return Split(group, sequence or _number(there), common, outliers, before)


def _number(there: Iterable[Side]) -> int:
    return max((side.at.sequence for side in there if side.at is not None), default=0)


def _before(
    members: Sequence[RankState], ranks: Sequence[int], group: int, sequence: int
) -> tuple[Position, ...]:
    """The collectives before this one, as one of these ranks remembers them."""
    last = next(member.last for member in members if member.rank == ranks[0])
    return tuple(
        p for p in last if p.group == group and (not sequence or p.sequence < sequence or not p)
    )


def _on_the_order(there: Sequence[Side], before: Sequence[Position]) -> Side | None:
    """The one side that is where the group went the last time it had been at the same site before;
    None if the history does not tell."""
    if len(there) < 2 or len(before) < 2:
        return None
    came_from = _site(before[-1])
    for place, following in zip(reversed(before[:-1]), reversed(before[1:]), strict=True):
        if _site(place) == came_from:
            found = [s for s in there if s.at is not None and _site(s.at) == _site(following)]
            return found[0] if len(found) == 1 else None
    return None


def _site(at: Position) -> tuple[str, str]:
    return at.kind, at.site
