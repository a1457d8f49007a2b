"""What a rank does as another of its group fails: close ranks, and lead where it is its turn."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from adpkv.errors import RankLostError
from adpkv.executor.messages import LeaderMessage, failure_detail
from adpkv.executor.rank import Rank

__all__ = ["close_ranks"]


def close_ranks(rank: Rank, lost: RankLostError, undecided: Sequence[LeaderMessage]) -> bool:
    """Go on without the failed one. The first of those who are left leads: says whether this rank
    does, and so has taken back the `undecided` messages of the iteration that the failure broke."""
    rank.membership = rank.membership.without(lost.rank)
    rank.limits = dataclasses.replace(rank.limits, gone=rank.membership.failed)
    leads = rank.members[0] == rank.rank
    if leads:
        _lead(rank, lost.rank, undecided)
    rank.recorder.event("survived", -1, lost=lost.rank, kind_there=lost.place.kind)
    return leads


def _lead(rank: Rank, lost: int, undecided: Sequence[LeaderMessage]) -> None:
    """The first of those who are alive tells the coordinator who is not. Whoever led before it may
    have failed before it could tell: so a new leader tells of all."""
    failed = [lost]
    if rank.leader is None:
        rank.leader = rank.successor()
        rank.leader.take_over(rank.plan)
        rank.serving.owner.lead()
        failed = [rank.instance.first + index for index in sorted(rank.limits.gone)]
    rank.leader.put_back(undecided)
    if rank.release is not None:
        rank.leader.put_back((rank.release,))
    for one in failed:
        rank.leader.announce_rank_failure(one, rank.rank, failure_detail(one, rank.instance))
