"""Who decides about a request: the one rank that has it, or all ranks that hold a part of it.

The owner is chosen when a rank is put together. The rank's serving asks its owner before it acts on
what it noticed alone; everything else about a request is the same either way.

Without attention data parallelism every rank of an instance holds every request (contract 5.7).
What one of them notices about its own part is a vote. It repeats the vote until all have acted on
it. `agree_on` makes of all votes what all ranks do in the same iteration. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeVar

import msgspec

from adpkv.core.values import Cause, Outcome

__all__ = ["Replica", "SoleOwner", "Vote", "agree_on"]

_PRECEDENCE: Final = {
    None: 0,
    Outcome.COMPLETED: 1,
    Outcome.TIMED_OUT: 2,
    Outcome.FAILED: 3,
    Outcome.CANCELLED: 4,
}
"""Cancelled beats failed beats completed. A deadline that passed is a failure of which less is
known than of one that the back end reports: it beats completed, and failed beats it."""

_ONE_IS_ENOUGH: Final = _PRECEDENCE[Outcome.TIMED_OUT]


class Vote(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a rank has to say about a request, or what all ranks came to.

    Without an outcome it is about the blocks of a request that has ended: nobody touches this
    rank's any more.
    """

    request_id: int
    outcome: Outcome | None = None
    detail: str = ""
    cause: Cause = Cause.OTHER


def agree_on(said: Iterable[tuple[Vote, ...]], ranks: int) -> tuple[Vote, ...]:
    """What is decided by now, by request; the lowest rank's detail where several say the same.

    Completion needs the votes of all ranks, and so does letting blocks go; a failure, a timeout or
    a cancel needs one. What has only some of the votes it needs is left out: they are repeated.

    Args:
        said: each rank's votes, in rank order; at most one per request.
        ranks: how many ranks there are.
    """
    by_request: dict[int, list[Vote]] = {}
    for votes in said:
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


class SoleOwner:
    """Attention data parallelism: a rank's requests are its own, and so is what it decides."""

    answers = True
    """It tells clients, and counts as load what it holds."""
    votes: tuple[Vote, ...] = ()
    """What it says at sync, again and again until all ranks have acted on it."""

    def sender(self, named: int) -> int:
        """The rank that sends a request's KV to this one; `named` is the one that answered."""
        return named

    def keeps_back(
        self, request_id: int, outcome: Outcome, detail: str, cause: Cause = Cause.OTHER
    ) -> bool:
        """Its transfer came to this. False: act on it now; True: when all have agreed."""
        return False

    def lets_go(self, request_id: int, quiescent: bool) -> bool:
        """A request has ended whose transfer had begun, and `quiescent` says what is proven about
        its blocks here: may they be given back now?"""
        return quiescent

    def acted(self, request_id: int) -> None:
        """What was agreed about the request is done."""

    def lead(self) -> None:
        """The ranks before this one have failed."""

    def compared(self, batch: _Batch) -> _Batch | None:
        """What all ranks must have in common about the next step; None if that is nothing."""
        return None


class Replica(SoleOwner):
    """Tensor parallelism without ADP: rank `index` of the instance holds its shard of each request.

    Requests, pools and batches must be in lockstep on all ranks, as the forward step reduces over
    them. So nothing that only one rank has noticed may change them: it is said first (contract
    5.2), and all act on what was agreed.
    """

    def __init__(self, index: int) -> None:
        self._index = index
        self.answers = index == 0
        self._said: dict[int, Vote] = {}

    def sender(self, named: int) -> int:
        """Each rank fetches its shard from the rank in its own place; the first one answered."""
        return named + self._index

    def keeps_back(
        self, request_id: int, outcome: Outcome, detail: str, cause: Cause = Cause.OTHER
    ) -> bool:
        """Said at the next sync."""
        self._say(Vote(request_id, outcome, detail, cause))
        return True

    def lets_go(self, request_id: int, quiescent: bool) -> bool:
        """Block ids must stay the same on all ranks, so the last one's proof frees them all."""
        if quiescent:
            self._say(Vote(request_id))
        else:
            self.acted(request_id)
        return False

    def acted(self, request_id: int) -> None:
        """It need not be said any more."""
        if self._said.pop(request_id, None) is not None:
            self.votes = tuple(self._said.values())

    def lead(self) -> None:
        """It is the one that answers now."""
        self.answers = True

    def compared(self, batch: _Batch) -> _Batch | None:
        """Ranks that compute different batches would hang in the step, or spoil each other's."""
        return batch

    def _say(self, vote: Vote) -> None:
        if self._said.get(vote.request_id) != vote:
            self._said[vote.request_id] = vote
            self.votes = tuple(self._said.values())
