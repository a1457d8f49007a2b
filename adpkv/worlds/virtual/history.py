"""The last collectives of a group, for people: noted in as few steps as possible, told in full."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from adpkv.core.plan import Plan
from adpkv.executor.collectives import Collective, Operation

__all__ = ["REMEMBERED", "SMALL", "Noted", "sites", "told"]

REMEMBERED: Final = 12
"""Collectives of a group that are remembered: the last eight, and enough to see what usually comes
next."""

SMALL: Final = 3
"""An iteration's small collectives."""

BROADCAST: Final = ("tp_broadcast", "intake")
ALLGATHER: Final = ("tp_allgather", "sync")
GATHER: Final = ("tp_gather", "flush")
"""Kind and site of those, in their order."""

Noted = tuple[int, int, Operation | tuple[int, Plan, Plan]]
"""(number, time, what) of a collective that all members completed. Or of an iteration's small ones:
the first one's number, and (iteration, the plan it began with, the plan that it made)."""


def told(noted: Iterable[Noted], group: int) -> list[tuple[int, int, Operation]]:
    """The last of them, each by itself."""
    found: list[tuple[int, int, Operation]] = []
    for number, at_ns, what in noted:
        if isinstance(what, Operation):
            found.append((number, at_ns, what))
            continue
        iteration, last, plan = what
        for (kind, site), known in ((BROADCAST, last), (ALLGATHER, last), (GATHER, plan)):
            found.append((number, at_ns, Collective(group, kind, site, iteration, known, None)))
            number += 1
    return found[-REMEMBERED:]


def sites(noted: Sequence[Noted], most: int) -> tuple[tuple[str, str], ...]:
    """Kind and site of the last so many of them, of as many as are told. A timeline asks for them
    at each stretch: this makes no collectives."""
    found: list[tuple[str, str]] = []
    for _, _, what in reversed(noted):
        if len(found) >= most:
            break
        found += (
            [(what.kind, what.site)]
            if isinstance(what, Operation)
            else [GATHER, ALLGATHER, BROADCAST]
        )
    return tuple(found[min(most, REMEMBERED) - 1 :: -1])
