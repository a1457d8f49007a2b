"""Which world rank belongs to which instance: context instances first, then generation."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from adpkv.core.ids import Rank

__all__ = ["Instance", "Kind", "Topology"]


class Kind(StrEnum):
    """What an instance does: prefill (context) or decode (generation)."""

    CONTEXT = "context"
    GENERATION = "generation"


@dataclass(frozen=True, slots=True)
class Instance:
    """One server: `ranks` consecutive world ranks from `first`. Its first rank leads the group."""

    index: int
    kind: Kind
    first: Rank
    ranks: int

    @property
    def name(self) -> str:
        """A unique name for people, such as `context-0`."""
        return f"{self.kind.value}-{self.index}"

    @property
    def leader(self) -> Rank:
        """The rank to which the coordinator sends the instance's messages."""
        return self.first

    @property
    def members(self) -> range:
        """The world ranks of this instance, in order."""
        return range(self.first, self.first + self.ranks)


@dataclass(frozen=True, slots=True)
class Topology:
    """All instances of a job, in the order of their world ranks: side by side, the first from 0."""

    instances: tuple[Instance, ...]

    @classmethod
    def of(cls, *, context: tuple[int, int], generation: tuple[int, int]) -> Topology:
        """Lay out the instances over consecutive world ranks, context instances first.

        Args:
            context, generation: (number of instances, ranks of each).
        """
        (contexts, context_ranks), (generations, generation_ranks) = context, generation
        return cls.of_sizes([context_ranks] * contexts, [generation_ranks] * generations)

    @classmethod
    def of_sizes(cls, context: Sequence[int], generation: Sequence[int]) -> Topology:
        """The same for instances of different sizes.

        Args:
            context, generation: the ranks of each instance.
        """
        found: list[Instance] = []
        first = 0
        for kind, sizes in ((Kind.CONTEXT, context), (Kind.GENERATION, generation)):
            for ranks in sizes:
                found.append(Instance(len(found), kind, Rank(first), ranks))
                first += ranks
        return cls(tuple(found))

    @property
    def ranks(self) -> int:
        """How many ranks the job has."""
        if not self.instances:
            return 0
        last = self.instances[-1]
        return last.first + last.ranks

    def of_kind(self, kind: Kind) -> tuple[Instance, ...]:
        """The instances of one kind, in order."""
        return tuple(i for i in self.instances if i.kind is kind)

    def instance_of(self, rank: int) -> Instance:
        """The instance that a world rank belongs to.

        Raises:
            IndexError: there is no such rank.
        """
        at = bisect_right(self.instances, rank, key=lambda instance: instance.first) - 1
        if at < 0 or rank not in self.instances[at].members:
            raise IndexError(f"rank {rank} of {self.ranks}")
        return self.instances[at]
