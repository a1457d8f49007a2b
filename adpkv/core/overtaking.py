"""How often a waiting request is overtaken, and what then waits for it.

A request that finds no room does not keep others from ranks that have room for them. But each later
request that gets what it could have had counts as one that overtook it. After `most` of these, the
rank that is nearest to having room for it takes no later request any more; after twice as many, all
ranks do that could ever have room. So it is served as soon as what runs there has ended.

A request that waits only for its sender's other transfers holds no rank up: only those behind it
in its lane take what it waits for. Nor does one whose earlier attempt is in doubt on the rank.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from adpkv.core.rank_failure import Attempt
from adpkv.core.values import RequestSpec
from adpkv.core.waiting import Waiting, lane_of

if TYPE_CHECKING:
    from adpkv.core.group_ranks import GroupRanks

__all__ = ["Overtaking", "Passed"]

Passed = tuple[tuple[int, int, int], ...]
"""(request, attempt, how often it was overtaken) of requests that wait; in order of arrival."""


class Overtaking:
    """The requests of one plan that have found no room so far, oldest first.

    It is told the ranks each time: if it kept them, who have it, each plan would leave a circle of
    objects, and a run would take a third more memory.
    """

    __slots__ = ("_most", "_passed", "_waiting")

    def __init__(self, passed: Passed, most: int) -> None:
        self._most = most
        self._passed: dict[Attempt, int] = {(i, a): times for i, a, times in passed}
        self._waiting: list[RequestSpec] = []

    def waits(self, ranks: GroupRanks, spec: RequestSpec) -> bool:
        """The request finds no room. Returns whether those behind it in its lane must wait too."""
        self._waiting.append(spec)
        times = self._passed.get((spec.request_id, spec.attempt), 0)
        if times >= self._most:
            self._hold(ranks, spec, times)
        return times >= 2 * self._most

    def assigned(self, ranks: GroupRanks, rank: int, spec: RequestSpec) -> None:
        """A later request was given to a rank."""
        if not self._waiting:
            return
        lane = lane_of(spec)
        for older in self._waiting:
            wanted = older.wanted in (None, rank) and _could_have(ranks, rank, older)
            if wanted or lane_of(older) == lane:
                attempt = (older.request_id, older.attempt)
                times = self._passed[attempt] = self._passed.get(attempt, 0) + 1
                if times in (self._most, 2 * self._most):
                    self._hold(ranks, older, times)

    def _hold(self, ranks: GroupRanks, spec: RequestSpec, times: int) -> None:
        """Keep ranks free for a request."""
        every = range(len(ranks)) if spec.wanted is None else (spec.wanted,)
        if times >= 2 * self._most:
            for rank in every:
                # Those that take nothing need no other look: most, once ranks are held for one.
                if ranks.seats[rank] > 0 and _could_have(ranks, rank, spec):
                    ranks.close(rank)
            return
        # The first of those with the most blocks. A rank with fewer is not looked at.
        nearest, most, blocks = -1, -1, ranks.blocks
        for rank in every:
            if (nearest < 0 or blocks[rank] > most) and _could_have(ranks, rank, spec):
                nearest, most = rank, blocks[rank]
        if nearest >= 0:
            ranks.close(nearest)

    def passed(self, waiting: Waiting) -> Passed:
        """How often the requests were overtaken that wait still."""
        if not self._passed:
            return ()
        return tuple(
            (request_id, attempt, times)
            for (request_id, attempt), times in self._passed.items()
            if any(waiting[p].attempt == attempt for p in waiting.attempts(request_id))
        )


def _could_have(ranks: GroupRanks, rank: int, spec: RequestSpec) -> bool:
    """Whether it is room that the request waits for on this rank."""
    return ranks.has_share(rank, spec) and not ranks.is_doubted(rank, spec)
