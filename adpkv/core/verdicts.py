"""What ranks that hold replicas of one request agree on about it (contract 5.7). Pure.

Without attention data parallelism every rank of an instance holds every request. What one of them
notices about its own part is a verdict that it repeats until all have acted on it; `settle` makes
of all verdicts what all ranks do in the same iteration.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from adpkv.core.values import Cause, Outcome

__all__ = ["Verdict", "settle"]

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


class Verdict(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a rank has to say about a request, or what all ranks came to.

    Without an outcome it is about the blocks of a request that has ended: nobody touches this
    rank's any more.
    """

    request_id: int
    outcome: Outcome | None = None
    detail: str = ""
    cause: Cause = Cause.OTHER


def settle(said: Iterable[tuple[Verdict, ...]], ranks: int) -> tuple[Verdict, ...]:
    """What is decided by now, by request; the lowest rank's detail where several say the same.

    Completion needs the word of all ranks, and so does letting blocks go; a failure, a timeout or
    a cancel needs one. What has only some of the words it needs is left out: they are said again.

    Args:
        said: each rank's verdicts, in rank order; at most one per request.
        ranks: how many ranks there are.
    """
    by_request: dict[int, list[Verdict]] = {}
    for verdicts in said:
        for verdict in verdicts:
            by_request.setdefault(verdict.request_id, []).append(verdict)
    found: list[Verdict] = []
    for _, verdicts_of_one in sorted(by_request.items()):
        first = max(verdicts_of_one, key=_weight)
        unanimous = len(verdicts_of_one) == ranks and all(
            verdict.outcome is first.outcome for verdict in verdicts_of_one
        )
        if unanimous or _weight(first) >= _ONE_IS_ENOUGH:
            found.append(first)
    return tuple(found)


def _weight(verdict: Verdict) -> int:
    return _PRECEDENCE[verdict.outcome]
