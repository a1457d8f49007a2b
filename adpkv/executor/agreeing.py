"""How a group makes its plan of what its ranks say, and what its leader passes on of both.

Each rank makes the same plan of the same statuses, by `core.plan.agree`. What is remembered here
only saves making a plan again that would be the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from adpkv.core.plan import Plan, agree
from adpkv.core.rank_status import RankStatus, differ
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
        "_calm", "_counts", "_steady", "_untold", "combine", "group_input", "rank", "statuses",
    )  # fmt: skip

    def __init__(self, rank: Rank, counts: Callable[[], CollectiveCounts]) -> None:
        self.rank = rank
        self._counts = counts
        self.group_input: tuple[LeaderMessage, ...] = ()
        self.statuses: Sequence[RankStatus] = ()
        self._steady = False
        self._calm: Plan | None = None
        """The plan that was made of `statuses`, if it is calm."""
        self._untold = True
        """Whether `statuses` may say something that the coordinator has not been told."""
        self.combine: Callable[[tuple[RankStatus, ...]], Plan] = self._agree
        """Made once: a method is a new object whenever it is asked for."""

    def _agree(self, statuses: tuple[RankStatus, ...]) -> Plan:
        rank, last = self.rank, self.rank.plan
        if not self.group_input:
            # As most often: what gave this plan has not changed, or not so that it gives another.
            before = self.statuses
            if last is self._calm and not statuses[0].expired and not differ(statuses, before):
                self.statuses = statuses
                return last
            if self._steady and statuses == before:
                return last
        self.statuses, self._untold = statuses, True
        plan = agree(rank.limits, last, sorted_messages(self.group_input), statuses)
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
        self.statuses, self._steady, self._calm = (), False, None

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
            leader.notices.announce(self.statuses, shared=rank.owner.shared)
        if plan.stop is not None:
            leader.announce_stop(plan.stop, self.statuses)

    def pulse(self, tokens: int) -> Pulse:
        """The instance's state, from the last sync's statuses; `tokens` so far. Leader only."""
        rank = self.rank
        by_rank = dict(zip(rank.members, self.statuses, strict=False))
        unowned = len(rank.plan.waiting)
        return sum_up(by_rank, unowned, tokens, rank.iteration, self._counts())
