"""What the ranks of a group do in an iteration beside its step, and how much longer that takes.

An iteration has two parts, and between them all ranks meet: until its `sync` ranks post transfers
and see ends of others; then they do what was agreed: ask for KV, and answer. In each part they work
side by side, so it takes as long as on the rank that has most to do.
"""

from __future__ import annotations

from math import ceil
from typing import Final, NamedTuple

from adpkv.config.calibration import WorkCalibration

__all__ = ["KIB", "Assigned", "IterationWork", "Work"]

KIB: Final = 1024


class Work:
    """One kind of work; each is one object, by which it is known."""

    __slots__ = ("_costs", "after_sync")

    def __init__(self, costs: WorkCalibration, *, after_sync: bool = False) -> None:
        self._costs, self.after_sync = costs, after_sync

    def shared_ns(self, times: int, *, first: bool) -> int:
        """What doing it so many times takes on all ranks; `first`: in this iteration."""
        costs = self._costs
        return ceil(times * costs.each_ns + (costs.once_ns if first else 0))

    def own_ns(self, blocks: int, nbytes: int) -> int:
        """What it takes on the rank that does it."""
        return ceil(self._costs.block_ns * blocks + self._costs.kib_ns * nbytes / KIB)


class Assigned(NamedTuple):
    """What it costs to give requests to ranks, and how large the blocks of their prompts are."""

    work: Work
    block_tokens: int
    block_bytes: int


class IterationWork:
    """The work of one group in the iteration that it is in."""

    __slots__ = ("_own", "_seen", "_shared")

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._shared = [0, 0]
        self._own: tuple[dict[int, int], dict[int, int]] = ({}, {})

    def add(self, rank: int, work: Work, times: int, blocks: int, nbytes: int) -> None:
        """A rank does this, so many times, with so much KV in all."""
        part, kind = int(work.after_sync), id(work)
        self._shared[part] += work.shared_ns(times, first=kind not in self._seen)
        self._seen.add(kind)
        own = self._own[part]
        own[rank] = own.get(rank, 0) + work.own_ns(blocks, nbytes)

    def total_ns(self) -> int:
        """How much longer the iteration takes."""
        return sum(self._shared) + sum(max(own.values(), default=0) for own in self._own)

    def so_far_ns(self, rank: int) -> int:
        """For how long this rank has worked after the sync, and the slowest one before it."""
        before, after = self._own
        return sum(self._shared) + max(before.values(), default=0) + after.get(rank, 0)
