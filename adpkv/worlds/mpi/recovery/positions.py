"""Where each living rank is when a rank has failed, and how they agree again: pure functions, no
MPI.

A collective that a rank failure breaks may have completed on some ranks and failed on others. So
the members of a group can be one collective apart, and one wait, which is no collective. They agree
on the furthest position. A rank that is behind gets the content of the collective that it missed
from a rank that completed it, and skips waits, until all are at the same collective. There, members
of a group with a failed rank get an exception, and the other groups go on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

__all__ = ["Contributions", "RankPosition", "sources", "targets"]


class Contributions(msgspec.Struct, frozen=True, array_like=True):
    """The heads of all members in one collective, and their payloads."""

    heads: bytes
    payloads: tuple[bytes, ...]


class RankPosition(msgspec.Struct, frozen=True, array_like=True):
    """Where one rank is, as it tells the other living ones."""

    rank: int
    next: dict[int, int]
    """By group: the number of the collective in which the rank is, or to which it comes next."""
    messages: dict[int, int]
    """By rank: how many of its messages this rank has received. `coordinator`: the same of messages
    to the coordinator."""
    coordinator: dict[int, int]


def targets(positions: Sequence[RankPosition]) -> dict[int, int]:
    """By group: the number of the collective from which all living members go on together."""
    found: dict[int, int] = {}
    for position in positions:
        for group, number in position.next.items():
            found[group] = max(found.get(group, 0), number)
    return found


def sources(positions: Sequence[RankPosition]) -> Mapping[int, tuple[int, int]]:
    """By group in which a member is behind: (a rank that has the missing collective, its
    number)."""
    first = {group: number for s in positions for group, number in s.next.items()}
    for position in positions:
        for group, number in position.next.items():
            first[group] = min(first[group], number)
    found: dict[int, tuple[int, int]] = {}
    for position in positions:
        for group, number in position.next.items():
            if number > first[group]:
                found.setdefault(group, (position.rank, first[group]))
    return found
