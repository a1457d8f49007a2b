"""Where the ranks of a failed schedule parted: the position, the branch, the variables.

They may part long before they get stuck: as long as kinds and shapes agree by accident, collectives
complete, with one rank a pass ahead. So the ways of an odd rank and of the others are compared
(`tracing`), from the start: the first position from which on they never come together again counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from adpkv.rank_programs.operations import Arrival
from adpkv.rank_programs.tracing import Path, Step

__all__ = ["Branch", "Parting", "branch_of", "first_parted"]

Entry = tuple[Arrival, int, Step | None]


class Branch(NamedTuple):
    """The last step that the odd rank and the others have in common, and where each went then."""

    step: Step
    odd: Step | None
    others: Step | None


class Parting(NamedTuple):
    """The first position of a group at which the ranks were not together any more; the entries are
    None where the rank never came there."""

    position: int
    odd: Entry | None
    other: Entry | None


def _of_group(path: Path, group: int) -> list[Entry]:
    return [entry for entry in path.arrivals if entry[0].group == group]


def first_parted(odd: Path, other: Path, group: int, last: int) -> Parting:
    """The first position, at most `last`, at which two ranks of a group have parted."""
    ours, theirs = _of_group(odd, group), _of_group(other, group)
    both = min(len(ours), len(theirs), last)
    together = 0
    for place in range(both):
        if ours[place][2] is theirs[place][2]:
            together = place + 1
    position = last
    # Pairs of lines that met before the ranks were together again: a sender's and a receiver's.
    pairs = {(ours[p][0].site, theirs[p][0].site) for p in range(together)}
    for place in range(together, both):
        mine, yours = ours[place][0], theirs[place][0]
        if mine.site != yours.site and (mine.site, yours.site) in pairs:
            continue
        if _skewed(ours, theirs, place, both):
            position = place + 1
            break
    return Parting(position, _entry(ours, position), _entry(theirs, position))


def _skewed(ours: Sequence[Entry], theirs: Sequence[Entry], place: int, end: int) -> bool:
    """Are the ranks at different passes, and not only in different branches that belong together,
    such as those of a sender and a receiver?"""
    mine, yours = ours[place][0], theirs[place][0]
    if mine.site == yours.site:
        return True
    if mine.operation.key != yours.operation.key or mine.operation.kind != yours.operation.kind:
        return True
    # Branches that belong together meet each other each time. A line that meets another line later
    # was not meant to meet this one.
    for later in range(place + 1, end):
        met = (ours[later][0].site, theirs[later][0].site)
        if (met[0] == mine.site) != (met[1] == yours.site):
            return True
        if met[1] == mine.site or met[0] == yours.site:
            return True
    return False


def _entry(entries: Sequence[Entry], position: int) -> Entry | None:
    return entries[position - 1] if position <= len(entries) else None


def branch_of(odd: Path, other: Path, parting: Parting) -> Branch | None:
    """The last step before the parting that both ranks made; None if they never were together."""
    ours = {id(step): place for place, step in enumerate(odd.steps)}
    end = parting.other[1] if parting.other is not None else len(other.steps)
    for place in range(end - 1, -1, -1):
        step = other.steps[place]
        found = ours.get(id(step))
        if found is not None:
            after = odd.steps[found + 1] if found + 1 < len(odd.steps) else None
            theirs = other.steps[place + 1] if place + 1 < end else None
            return Branch(step, after, theirs)
    return None
