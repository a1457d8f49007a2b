"""What a rank does when another rank of its group fails: go on without it, and lead if it is the
first one left."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from adpkv.errors import RankLostError
from adpkv.executor.messages import LeaderMessage, failure_detail
from adpkv.executor.rank import Rank

__all__ = ["shrink_group"]


def shrink_group(rank: Rank, lost: RankLostError, undecided: Sequence[LeaderMessage]) -> bool:
    """Remove the failed rank from the group; the first one left leads the group.

    Returns whether this rank leads. If so, it has taken back `undecided`, the messages of the
    iteration that the failure broke, for the next broadcast.
    """
    membership = rank.succession.membership.without(lost.rank)
    rank.succession.membership = membership
    rank.limits = dataclasses.replace(rank.limits, gone=membership.failed)
    leads = rank.members[0] == rank.rank
    if leads:
        _lead(rank, lost.rank, undecided)
    rank.ports.recorder.event("survived", -1, lost=lost.rank, kind_there=lost.place.kind)
    return leads


def _lead(rank: Rank, lost: int, undecided: Sequence[LeaderMessage]) -> None:
    """Tell the coordinator about the failed rank. A new leader names all failed ranks of the group,
    because the former leader may have failed before it could."""
    failed = [lost]
    if rank.leader is None:
        rank.leader = rank.succession.successor()
        rank.leader.take_over(rank.plan)
        rank.serving.owner.lead()
        failed = [rank.instance.first + index for index in sorted(rank.limits.gone)]
    rank.leader.put_back(undecided)
    if rank.succession.release is not None:
        rank.leader.put_back((rank.succession.release,))
    for one in failed:
        rank.leader.announce_rank_failure(one, rank.rank, failure_detail(one, rank.instance))
