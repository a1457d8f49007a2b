"""How a group makes its plan of what its ranks say, and what its leader passes on of both.

Each rank makes the same plan of the same statuses, by `core.plan.agree`. What is remembered here
only saves making a plan again that would be the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from adpkv.core.group_statuses import GroupStatuses
from adpkv.core.plan import Plan, plan_by
from adpkv.core.rank_status import RankStatus
from adpkv.core.values import Response
from adpkv.executor.broadcast import sorted_messages
from adpkv.executor.collectives import CollectiveCounts
from adpkv.executor.leader import sum_up
from adpkv.executor.messages import LeaderMessage, Pulse
from adpkv.executor.rank import Rank
from adpkv.subclassing import mypyc_attr

__all__ = ["Agreeing"]


@mypyc_attr(allow_interpreted_subclasses=True)
class Agreeing:
    """The base of `executor.local_work.LocalWork`: the part of one rank in what its group agrees
    on."""

    # Python remembers where these are, and which methods there are. It would not with a `__dict__`
    # that somebody has looked at, or one of more than thirty.
    __slots__ = (
        "_calm", "_counts", "_steady", "_untold", "combine", "group_input", "rank", "said",
        "statuses",
    )  # fmt: skip

    def __init__(self, rank: Rank, counts: Callable[[], CollectiveCounts]) -> None:
        self.rank = rank
        self._counts = counts
        self.group_input: tuple[LeaderMessage, ...] = ()
        self.said: GroupStatuses | None = None
        """What the ranks have brought to the last sync, and what follows from it."""
        self.statuses: Sequence[RankStatus] = ()
        """The statuses in it."""
        self._steady = False
        self._calm: Plan | None = None
        """The plan that was made of `statuses`, if it is calm."""
        self._untold = True
        """Whether `statuses` may say something that the coordinator has not been told."""
        self.combine: Callable[[tuple[RankStatus, ...]], Plan] = self._agree
        """Made once: a method is a new object whenever it is asked for."""

    def _agree(self, statuses: tuple[RankStatus, ...]) -> Plan:
        """Make the plan of the statuses that a collective has gathered."""
        return self.agree_again(statuses, range(len(statuses)))

    def agree_again(self, statuses: Sequence[RankStatus], places: Iterable[int]) -> Plan:
        """Make the plan of these statuses, which may be others than last time at these places."""
        rank, last, said = self.rank, self.rank.plan, self.said
        if said is None:
            said = self.said = GroupStatuses(rank.limits, statuses)
            self.statuses = said.statuses
        else:
            said.renew(statuses, places)
        same, differ = said.same, said.differ
        said.planned()
        if not self.group_input:
            # As most often: what gave this plan has not changed, or not so that it gives another.
            if last is self._calm and not differ and not said.statuses[0].expired:
                return last
            if self._steady and same:
                return last
        self._untold = True
        plan = plan_by(rank.limits, last, sorted_messages(self.group_input), said)
        self._steady = plan is last
        if not self._steady:
            self._calm = plan if plan.is_calm() else None
        return plan

    def agreed(self, plan: Plan) -> None:
        """This is the plan that the sync made."""
        rank = self.rank
        rank.plan = plan
        if rank.leader is not None:
            rank.leader.note_unowned(plan, self.group_input)
        self.group_input = ()  # the plan covers it

    def forget(self) -> None:
        """A rank of the group has failed: the next plan is made anew, of what its ranks say."""
        self.said, self.statuses, self._steady, self._calm = None, (), False, None

    def answer(self, gathered: Sequence[Sequence[Response]]) -> None:
        """The leader passes on what the flush has gathered, and what the statuses say."""
        rank = self.rank
        leader = rank.leader
        assert leader is not None
        leader.answer(gathered, self.pulse)
        plan = rank.plan
        if plan.rank_failure is not None:
            leader.announce_missing(plan.rank_failure)
        if self._untold:
            self._untold = False
            assert self.said is not None
            leader.notices.announce(self.said, shared=rank.owner.shared)
        if plan.stop is not None:
            leader.announce_stop(plan.stop, self.statuses)

    def pulse(self, tokens: int) -> Pulse:
        """The instance's state, from the last sync's statuses; `tokens` so far. Leader only."""
        rank = self.rank
        by_rank = dict(zip(rank.members, self.statuses, strict=False))
        unowned = len(rank.plan.waiting)
        return sum_up(by_rank, unowned, tokens, rank.iteration, self._counts())
