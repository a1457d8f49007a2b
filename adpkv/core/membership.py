"""Which ranks of a group are left: a value that all ranks of one process share.

A list of its own on each rank would let the memory of a simulated group grow with the square of
its ranks as soon as one of them fails (16,384 ranks: 11 GB). So what follows a rank failure is made
once, and whoever asks the same value for the same failure has the same answer.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["Membership"]


class Membership:
    """Immutable. The first of those who are left leads the group."""

    __slots__ = ("_first", "_following", "failed", "living")

    def __init__(self, members: Sequence[int]) -> None:
        self.living = members
        """The world ranks that are left, in order."""
        self.failed: frozenset[int] = frozenset()
        """Indices within the group of those that are not: those of the others stay what they were
        (`GroupLimits.gone`)."""
        self._first = members[0] if members else 0
        self._following: dict[int, Membership] = {}

    def without(self, rank: int) -> Membership:
        """What it is after this world rank's failure. O(ranks) for the first that asks."""
        found = self._following.get(rank)
        if found is None:
            found = Membership([member for member in self.living if member != rank])
            found._first, found.failed = self._first, self.failed | {rank - self._first}
            self._following[rank] = found
        return found
