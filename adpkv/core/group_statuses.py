"""What the ranks of a group say, and what `agree` and the router ask of all of them.

Most statuses are those of the last plan, the same objects. So what follows from them is kept, and a
plan costs what is new, not what there is. It is nothing but what the statuses say: two of these
with the same statuses give the same plan, whatever they have heard before.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from adpkv.core.group_limits import GroupLimits
from adpkv.core.group_ranks import GroupRanks
from adpkv.core.overtaking import Passed
from adpkv.core.rank_status import RankStatus

__all__ = ["GroupStatuses"]


class GroupStatuses:
    """The statuses of a group's living ranks, in order."""

    __slots__ = (
        "_is_odd", "_limits", "_new", "_ranks", "differ", "odd", "same", "statuses", "working",
    )  # fmt: skip

    def __init__(self, limits: GroupLimits, statuses: Sequence[RankStatus]) -> None:
        self._limits = limits
        self.statuses = [*statuses]
        self._is_odd = [status.is_odd() for status in statuses]
        self.odd = sum(self._is_odd)
        """How many say something odd."""
        self.working = sum([status.work for status in statuses])
        """How many have tokens to compute."""
        self.same, self.differ = False, True
        """Since the last plan: whether all are equal to those before; whether one differs from the
        one before (`RankStatus.differs`)."""
        self._ranks: GroupRanks | None = None
        """What the router knew of the ranks for its last plan."""
        self._new: set[int] = set()
        """Those of which it does not know what they say by now."""

    def renew(self, statuses: Sequence[RankStatus], places: Iterable[int]) -> None:
        """These are the statuses of all. They may be new at these places, and only there."""
        mine = self.statuses
        for place in places:
            status, before = statuses[place], mine[place]
            if status is before:
                continue
            mine[place] = status
            self._new.add(place)
            odd, was_odd = status.is_odd(), self._is_odd[place]
            if odd is not was_odd:
                self._is_odd[place] = odd
                self.odd += 1 if odd else -1
            if status.work is not before.work:
                self.working += 1 if status.work else -1
                self.differ = True
            elif (odd or was_odd) and status.differs(before):
                self.differ = True  # what else differs is odd
            if self.same and status != before:
                self.same = False

    def planned(self) -> None:
        """A plan was made of these."""
        self.same, self.differ = True, False

    def ranks(self, passed: Passed, not_yet: frozenset[int]) -> GroupRanks:
        """What the router knows of the ranks, for one plan; as `GroupLimits.ranks_of`."""
        if self.odd or self._limits.gone:
            return self._limits.ranks_of(self.statuses, passed, not_yet)
        ranks = self._ranks
        if ranks is None:
            ranks = self._ranks = self._limits.ranks_of(self.statuses, passed, not_yet)
        else:
            self._new.update(ranks.given)
            ranks.given.clear()
            for place in sorted(self._new):
                ranks.hear(place, self.statuses[place])
            ranks.begin(passed, not_yet)
        self._new.clear()
        return ranks
