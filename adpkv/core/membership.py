"""Which ranks of a group are left: an immutable value that the ranks of one process share.

If each simulated rank had a list of its own, the memory of a group would grow with the square of
its ranks as soon as one of them fails (16,384 ranks: 11 GB). So the membership after a failure is
made once and remembered: all ranks get the same object.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["Membership"]


class Membership:
    """The members of a group that have not failed; the first of them leads the group. Immutable."""

    __slots__ = ("_first", "_following", "failed", "living")

    def __init__(self, members: Sequence[int]) -> None:
        self.living = members
        """The world ranks that have not failed, in order."""
        self.failed: frozenset[int] = frozenset()
        """Indices within the group of the failed ranks. The indices of the others do not change
        (`GroupLimits.gone`)."""
        self._first = members[0] if members else 0
        self._following: dict[int, Membership] = {}

    def without(self, rank: int) -> Membership:
        """The membership after the failure of world rank `rank`. O(ranks) for the first caller."""
        found = self._following.get(rank)
        if found is None:
            found = Membership([member for member in self.living if member != rank])
            found._first, found.failed = self._first, self.failed | {rank - self._first}
            self._following[rank] = found
        return found
