"""What a group that goes on does about ranks that failed: end what they had, and count what is
left.

Only the coordinator knows all requests that an instance should have, and only the living ranks know
what they have. So the coordinator asks, behind all messages that it has sent before; one iteration
later each rank has said which of these requests it will answer for; what nobody will is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

__all__ = ["Attempt", "RankFailure", "missing"]

Attempt = tuple[int, int]
"""A request, and which of its attempts (`RequestSpec.generation`): it may be computed again."""


class RankFailure(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A group's plan as far as failed ranks are concerned."""

    failed: tuple[int, ...] = ()
    """World ranks of the whole job: nothing is begun with them any more."""
    asked: tuple[Attempt, ...] = ()
    """Requests that the coordinator has given to this group, which has a failed member."""
    missing: tuple[Attempt, ...] | None = None
    """Those of the ones asked for that nobody will answer for; None where nobody had asked."""


def missing(
    asked: Sequence[Attempt], owed: Iterable[tuple[Attempt, ...]], waiting: Iterable[Attempt]
) -> tuple[Attempt, ...]:
    """What of `asked` has gone with the failed ranks.

    Args:
        asked: what the coordinator has given to the group.
        owed: by rank, those of them that it will answer for.
        waiting: what has no rank yet.
    """
    found = set(waiting).union(*owed)
    return tuple(attempt for attempt in asked if attempt not in found)
