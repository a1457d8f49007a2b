"""How a group that goes on after a rank failure finds the requests that were lost with that rank.

Only the coordinator knows which requests an instance was given, and only the living ranks know
which they have. So the coordinator asks the group about all of them; messages arrive in order, so
the group has read everything sent before. One iteration later each rank has said which of the
requests it will answer for. Those that no rank will answer for are missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

__all__ = ["Attempt", "RankFailure", "missing"]

Attempt = tuple[int, int]
"""(request, attempt), as in `RequestSpec`: a request that is computed again is a new attempt."""


class RankFailure(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The part of a group's plan that is about failed ranks."""

    failed: tuple[int, ...] = ()
    """Failed world ranks of the whole job: no transfer with them is begun any more."""
    asked: tuple[Attempt, ...] = ()
    """The open requests that the coordinator has given to this group, if a member of it failed."""
    missing: tuple[Attempt, ...] | None = None
    """Those of the last plan's `asked` that no rank will answer for; None if it asked for none."""


def missing(
    asked: Sequence[Attempt], owed: Iterable[tuple[Attempt, ...]], waiting: Iterable[Attempt]
) -> tuple[Attempt, ...]:
    """The requests among `asked` that were lost with the failed ranks.

    Args:
        asked: the open requests that the coordinator has given to the group.
        owed: for each rank, those of them for which it will still send an answer.
        waiting: requests that no rank owns yet.
    """
    found = set(waiting).union(*owed)
    return tuple(attempt for attempt in asked if attempt not in found)
