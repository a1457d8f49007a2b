"""The ranks of a group in the order of what two columns say of them: who is the first that can take
a request?

What is in a column may only grow while its rank is given requests. So a heap does, in O(log ranks)
for each request, as long as the first rank can take it; an entry at its top that is older than the
columns is corrected. Ranks that had too few blocks for a request are set aside until one comes that
needs no more than they have: where nearly all are full, each request would look at all of them.

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

SPARE: Final = 16
"""How many more entries the heap may have than two for each rank, before those that are void go."""

_Entry = tuple[int, int, int]
"""(what a rank has in one column, what it has in another, the rank)."""


class RankOrder:
    """In the order of two columns, then of ranks.

    It is told the ranks each time: if it kept them, who keep it, they would be a circle of objects.
    """

    __slots__ = ("_aside", "_column", "_first", "_heap", "_second", "_then")

    def __init__(self, column: list[int], then: list[int]) -> None:
        self._column, self._then = column, then
        self._heap: list[_Entry] = []
        self._first = [_ABSENT] * len(column)
        """By rank: what its entry in the heap has first, if one counts; `_second`: what it has
        second."""
        self._second = [_ABSENT] * len(column)
        self._aside: list[tuple[int, int]] = []
        """(blocks, negative; rank), those with the most blocks first."""

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

    def first(self, ranks: GroupRanks, spec: RequestSpec) -> int | None:
        """The first rank that can take the request; None if none can."""
        heap, aside, first, second = self._heap, self._aside, self._first, self._second
        column, then, blocks = self._column, self._then, ranks.blocks
        needed = ranks.needed(spec)
        while aside and -aside[0][0] >= needed:
            rank = heappop(aside)[1]
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
                heappush(aside, (-blocks[rank], rank))
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
