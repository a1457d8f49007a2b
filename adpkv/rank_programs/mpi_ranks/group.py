"""`MPI.Group`: a set of ranks in an order, of which communicators are made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from adpkv.rank_programs.mpi_ranks.provided import Provided

__all__ = ["UNDEFINED", "GroupOfRanks"]

UNDEFINED: Final = -32766
"""The number of a rank in a group that it is not in."""


class GroupOfRanks(Provided):
    """`MPI.Group`: ranks of the whole job."""

    def __init__(self, ranks: Sequence[int], here: Callable[[], int]) -> None:
        self.ranks, self._here = tuple(ranks), here

    def Get_size(self) -> int:  # noqa: N802
        """How many ranks."""
        return len(self.ranks)

    def Get_rank(self) -> int:  # noqa: N802
        """The number of the rank that asks; UNDEFINED if it is not in the group."""
        here = self._here()
        return self.ranks.index(here) if here in self.ranks else UNDEFINED

    size, rank = property(Get_size), property(Get_rank)

    def Incl(self, ranks: Sequence[int]) -> GroupOfRanks:  # noqa: N802
        """These members alone."""
        return GroupOfRanks([self.ranks[number] for number in ranks], self._here)

    def Excl(self, ranks: Sequence[int]) -> GroupOfRanks:  # noqa: N802
        """All but these."""
        kept = [rank for number, rank in enumerate(self.ranks) if number not in set(ranks)]
        return GroupOfRanks(kept, self._here)

    def Range_incl(self, ranges: Sequence[tuple[int, int, int]]) -> GroupOfRanks:  # noqa: N802
        """The members of these ranges."""
        return self.Incl(
            [n for first, last, step in ranges for n in range(first, last + (1 if step > 0 else -1),
                                                              step)]
        )  # fmt: skip

    def Translate_ranks(  # noqa: N802
        self, ranks: Sequence[int] | None = None, other: GroupOfRanks | None = None
    ) -> list[int]:
        """The numbers of these members in another group."""
        theirs = other.ranks if other is not None else self.ranks
        asked = range(len(self.ranks)) if ranks is None else ranks
        mine = [self.ranks[number] for number in asked]
        return [theirs.index(rank) if rank in theirs else UNDEFINED for rank in mine]

    def Free(self) -> None:  # noqa: N802
        """Nothing to do."""
