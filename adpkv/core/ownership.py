"""Who decides about a request: the one rank that has it, or all ranks that hold a shard of it.

With attention data parallelism (ADP) a request is on one rank, which decides alone: `SoleOwner`.
Without ADP each rank of an instance holds a shard of each request: `Replica`. What such a rank
notices about its own shard is a vote, which it repeats at each sync until all ranks have acted on
it. `agree_on` computes from all votes what all ranks do in this iteration (contract 5.7).

The world chooses the class when it assembles a rank. `executor.serving` asks it before it acts on
something that only this rank has noticed; all else is the same for both.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeVar

import msgspec

from adpkv.core.values import Cause, Outcome
from adpkv.subclassing import mypyc_attr

__all__ = ["Replica", "SoleOwner", "Vote", "agree_on"]

_PRECEDENCE: Final = {
    None: 0,
    Outcome.COMPLETED: 1,
    Outcome.TIMED_OUT: 2,
    Outcome.FAILED: 3,
    Outcome.CANCELLED: 4,
}
"""Which outcome wins if votes differ: cancelled, then failed, timed out, completed. Failed wins
over timed out because an error reported by the transport says more than a deadline that passed.
None is a vote about blocks."""

_ONE_IS_ENOUGH: Final = _PRECEDENCE[Outcome.TIMED_OUT]


class Vote(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a rank noticed about a request, or what all ranks agreed on.

    Without an outcome it is about a request that has ended: no peer touches this rank's blocks of
    it any more.
    """

    request_id: int
    outcome: Outcome | None = None
    detail: str = ""
    cause: Cause = Cause.OTHER


def agree_on(votes_by_rank: Iterable[tuple[Vote, ...]], ranks: int) -> tuple[Vote, ...]:
    """What the ranks agree on now, in order of requests.

    Completion needs the same vote from all ranks, and so does freeing blocks. A failure, a timeout
    or a cancel needs one vote. A request without enough votes is left out; its ranks vote again at
    the next sync. Where several ranks vote the same, the lowest rank's detail is kept.

    Args:
        votes_by_rank: each rank's votes, in rank order; at most one per request and rank.
        ranks: how many ranks there are.
    """
    by_request: dict[int, list[Vote]] = {}
    for votes in votes_by_rank:
        for vote in votes:
            by_request.setdefault(vote.request_id, []).append(vote)
    found: list[Vote] = []
    for _, votes_of_one in sorted(by_request.items()):
        first = max(votes_of_one, key=_weight)
        unanimous = len(votes_of_one) == ranks and all(
            vote.outcome is first.outcome for vote in votes_of_one
        )
        if unanimous or _weight(first) >= _ONE_IS_ENOUGH:
            found.append(first)
    return tuple(found)


def _weight(vote: Vote) -> int:
    return _PRECEDENCE[vote.outcome]


_Batch = TypeVar("_Batch")


@mypyc_attr(allow_interpreted_subclasses=True)
class SoleOwner:
    """Attention data parallelism: each request is on one rank, which decides about it alone."""

    def __init__(self) -> None:
        # Not of the class: each rank asks in each iteration, and Python remembers where a field is.
        self.shared = False
        """Whether other ranks have each of its requests too."""
        self.answers = True
        """Whether this rank answers clients and reports its requests as load."""
        self.votes: tuple[Vote, ...] = ()
        """What this rank sends at each sync until all ranks have acted on it."""

    def sender(self, named: int) -> int:
        """The world rank that sends a request's KV to this rank. `named` is the context rank that
        answered for the request."""
        return named

    def defer(
        self, request_id: int, outcome: Outcome, detail: str, cause: Cause = Cause.OTHER
    ) -> bool:
        """The request's transfer or wait ended with `outcome`. Returns False if the rank is to act
        on it now, True if it must wait until all ranks have agreed."""
        return False

    def may_free(self, request_id: int, quiescent: bool) -> bool:
        """May the blocks of an ended request be freed now? `quiescent`: it is proven that no peer
        touches them on this rank."""
        return quiescent

    def acted(self, request_id: int) -> None:
        """This rank has carried out what was agreed about the request."""

    def lead(self) -> None:
        """All ranks before this one have failed, so this rank leads the group now."""

    def compared(self, batch: _Batch) -> _Batch | None:
        """The part of the next step that must be equal on all ranks; None if there is none."""
        return None


@mypyc_attr(allow_interpreted_subclasses=True)
class Replica(SoleOwner):
    """Tensor parallelism without ADP: rank `index` of the instance holds its shard of each request.

    Requests, pools and batches must be the same on all ranks, because the forward step reduces over
    them. So a rank must not act on what it alone has noticed: it votes first (contract 5.2), and
    all ranks act on what was agreed.
    """

    def __init__(self, index: int) -> None:
        super().__init__()
        self.shared = True
        self._index = index
        self.answers = index == 0
        self._votes: dict[int, Vote] = {}

    def sender(self, named: int) -> int:
        """Each rank fetches its shard from the context rank with its own index. The rank that
        answered is the one with index 0."""
        return named + self._index

    def defer(
        self, request_id: int, outcome: Outcome, detail: str, cause: Cause = Cause.OTHER
    ) -> bool:
        """Vote for it at the next sync; always True."""
        self._vote(Vote(request_id, outcome, detail, cause))
        return True

    def may_free(self, request_id: int, quiescent: bool) -> bool:
        """Vote for it if proven; always False. Block ids must stay the same on all ranks, so all
        ranks free the blocks together, once each of them has its proof."""
        if quiescent:
            self._vote(Vote(request_id))
        else:
            self.acted(request_id)
        return False

    def acted(self, request_id: int) -> None:
        """This rank has acted on what was agreed, so its vote is withdrawn."""
        if self._votes.pop(request_id, None) is not None:
            self.votes = tuple(self._votes.values())

    def lead(self) -> None:
        """This rank answers clients from now on."""
        self.answers = True

    def compared(self, batch: _Batch) -> _Batch | None:
        """The whole batch. Ranks with different batches would hang in the step's collectives, or
        compute wrong values."""
        return batch

    def _vote(self, vote: Vote) -> None:
        if self._votes.get(vote.request_id) != vote:
            self._votes[vote.request_id] = vote
            self.votes = tuple(self._votes.values())
