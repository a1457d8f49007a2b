"""What a group that goes on does about ranks that died: end what they had, and count what is left.

Only the coordinator knows all requests that an instance should have, and only the living ranks know
what they have. So the coordinator asks, behind all mail that it has sent before; one iteration
later each rank has said which of these requests it will answer for; what nobody will is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

__all__ = ["Life", "Loss", "missing"]

Life = tuple[int, int]
"""A request, and which of its lives (`RequestSpec.generation`): it may be computed again."""


class Loss(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A group's plan as far as dead ranks are concerned."""

    dead: tuple[int, ...] = ()
    """World ranks of the whole job: nothing is begun with them any more."""
    asked: tuple[Life, ...] = ()
    """Requests that the coordinator has given to this group, which has lost a member."""
    missing: tuple[Life, ...] | None = None
    """Those of the ones asked for that nobody will answer for; None where nobody had asked."""


def missing(
    asked: Sequence[Life], owed: Iterable[tuple[Life, ...]], waiting: Iterable[Life]
) -> tuple[Life, ...]:
    """What of `asked` has gone with the dead.

    Args:
        asked: what the coordinator has given to the group.
        owed: by rank, those of them that it will answer for.
        waiting: what has no rank yet.
    """
    found = set(waiting).union(*owed)
    return tuple(life for life in asked if life not in found)
