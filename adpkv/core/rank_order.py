"""The ranks of a group in the order of what two columns say of them: who is the first that can take
a request?

What is in a column may only grow while its rank is given requests. So a heap does, in O(log ranks)
for each request, as long as the first rank can take it; an entry at its top that is older than the
columns is corrected. Ranks that had too few blocks for a request are set aside until one comes that
needs no more than they have: where nearly all are full, each request would look at all of them.
They are a heap too, in which one entry counts for each rank: of the blocks that it had last time.

The heap outlives a plan. A rank that says something new (`renew`) comes anew if that brings it
forward, and what the heap had of it is void; so a plan costs what is new, not all ranks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from adpkv.core.values import RequestSpec
from adpkv.heaps import heapify, heappop, heappush, heapreplace

if TYPE_CHECKING:
    from adpkv.core.group_ranks import GroupRanks

__all__ = ["RankOrder"]

_ABSENT: Final = -1
"""In place of what a column says, of a rank without an entry that counts."""

_NOT_ASIDE: Final = 1 << 60
"""In place of the blocks that a rank had when it was set aside, of one without an entry that counts
there: more than any has."""

SPARE: Final = 16
"""How many more entries each heap may have than two for each rank, before those that are void go.
"""

_Entry = tuple[int, int, int]
"""(what a rank has in one column, what it has in another, the rank)."""


class RankOrder:
    """In the order of two columns, then of ranks.

    It is told the ranks each time: if it kept them, who keep it, they would be a circle of objects.
    """

    __slots__ = ("_aside", "_column", "_first", "_had", "_heap", "_second", "_then")

    def __init__(self, column: list[int], then: list[int]) -> None:
        self._column, self._then = column, then
        self._heap: list[_Entry] = []
        self._first = [_ABSENT] * len(column)
        """By rank: what its entry in the heap has first, if one counts; `_second`: what it has
        second."""
        self._second = [_ABSENT] * len(column)
        self._aside: list[tuple[int, int]] = []
        """(blocks, negative; rank), those with the most blocks first."""
        self._had = [_NOT_ASIDE] * len(column)
        """By rank: the blocks in its entry aside, if one counts. It may count still when the rank
        is back in the heap: it is void only if it is met then, or if another comes."""

    def is_by(self, column: list[int], then: list[int]) -> bool:
        """Whether it is in the order of these two."""
        return self._column is column and self._then is then

    def renew(self, rank: int) -> None:
        """The columns say something new of this rank, which may be given requests. One that may not
        is dropped at the top."""
        column, then, first = self._column[rank], self._then[rank], self._first[rank]
        if first == _ABSENT or column < first or (column == first and then < self._second[rank]):
            self._push(rank)

    def _compact(self) -> None:
        """Drop what is void."""
        entries = zip(self._first, self._second, range(len(self._first)), strict=True)
        self._heap[:] = [entry for entry in entries if entry[0] != _ABSENT]
        heapify(self._heap)

    def _push(self, rank: int) -> None:
        column, then = self._column[rank], self._then[rank]
        self._first[rank], self._second[rank] = column, then
        heappush(self._heap, (column, then, rank))
        if len(self._heap) > 2 * len(self._column) + SPARE:
            self._compact()

    def _compact_aside(self) -> None:
        """Drop what is void there."""
        entries = zip(self._had, range(len(self._had)), strict=True)
        self._aside[:] = [(-blocks, rank) for blocks, rank in entries if blocks != _NOT_ASIDE]
        heapify(self._aside)

    def first(self, ranks: GroupRanks, spec: RequestSpec) -> int | None:
        """The first rank that can take the request; None if none can."""
        heap, aside, first, second = self._heap, self._aside, self._first, self._second
        column, then, had, blocks = self._column, self._then, self._had, ranks.blocks
        needed = ranks.needed(spec)
        while aside and -aside[0][0] >= needed:
            less, rank = heappop(aside)
            if had[rank] == -less:
                had[rank] = _NOT_ASIDE
                if first[rank] == _ABSENT:
                    self._push(rank)
        unable: list[_Entry] = []
        found = None
        while heap:
            entry = heap[0]
            rank = entry[2]
            if entry[0] != first[rank] or entry[1] != second[rank]:
                heappop(heap)  # void: another has come since
            elif entry[0] != column[rank] or entry[1] != then[rank]:
                first[rank], second[rank] = column[rank], then[rank]
                heapreplace(heap, (column[rank], then[rank], rank))
            elif blocks[rank] < needed:
                heappop(heap)
                first[rank] = _ABSENT
                there = blocks[rank]
                if had[rank] != there:  # else its entry is there already
                    had[rank] = there
                    heappush(aside, (-there, rank))
                    if len(aside) > 2 * len(had) + SPARE:
                        self._compact_aside()
            elif ranks.can_take(rank, spec):
                found = rank
                break
            elif ranks.is_open(rank):
                unable.append(heappop(heap))
            else:
                heappop(heap)
                first[rank] = _ABSENT
        for entry in unable:
            heappush(heap, entry)
        return found
