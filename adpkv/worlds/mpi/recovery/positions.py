"""Who stands where when a rank has failed, and what makes the living agree again: pure, no MPI.

A collective that a rank failure breaks may have completed on some ranks and failed on others, so
the members of a group can be one collective apart, and one wait, which nobody joins. They agree on
the furthest: whoever is behind gets the collective it missed from one who has it, and passes by the
waits, until all come to the same collective. There those that lost a member hear of it, and the
others simply meet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

__all__ = ["Custom", "Echo", "RankPosition", "givers", "targets"]


class Custom(msgspec.Struct, frozen=True, array_like=True):
    """All slots of one collective, and what came in its second round if it had one."""

    slots: bytes
    bodies: bytes


class Echo:
    """In the place of a group's communicators: a collective as others saw it."""

    def __init__(self, brought: Custom) -> None:
        self._custom = brought

    def Is_revoked(self) -> bool:  # noqa: N802 - MPI's name
        """It is over, and was whole."""
        return False

    def Get_failed(self) -> Any:  # noqa: N802 - MPI's name
        """Nobody failed in it."""
        return self

    def Get_size(self) -> int:  # noqa: N802 - MPI's name
        """Of the group of those who did."""
        return 0

    def Allgather(self, own: object, landing: list[Any]) -> None:  # noqa: N802 - MPI's name
        """The slots."""
        landing[0][:] = self._custom.slots

    def Allgatherv(self, own: object, landing: list[Any]) -> None:  # noqa: N802 - MPI's name
        """The second round."""
        landing[0][:] = self._custom.bodies


class RankPosition(msgspec.Struct, frozen=True, array_like=True):
    """One rank, as it tells the other living ones."""

    rank: int
    next: dict[int, int]
    """By group that it is in: the number of the collective that it comes to next, or stands in."""
    messages: dict[int, int]
    """How many letters of each rank it has taken; `coordinator`: of those to the coordinator."""
    coordinator: dict[int, int]


def targets(positions: Sequence[RankPosition]) -> dict[int, int]:
    """By group: the collective in which all members that are alive will stand."""
    found: dict[int, int] = {}
    for position in positions:
        for group, number in position.next.items():
            found[group] = max(found.get(group, 0), number)
    return found


def givers(positions: Sequence[RankPosition]) -> Mapping[int, tuple[int, int]]:
    """By group in which somebody is behind: who has the collective that is missing, and its
    number."""
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
