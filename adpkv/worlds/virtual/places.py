"""Where the ranks of a virtual group are: what their suspended programs await."""

from __future__ import annotations

import gc
from collections.abc import Coroutine
from inspect import CORO_CLOSED, getcoroutinestate
from typing import Any, Final

from adpkv.diagnosis.frames import awaited_by
from adpkv.errors import Place
from adpkv.executor.collectives import Gone, Operation, Pause

__all__ = [
    "ALONE",
    "LEFT",
    "Program",
    "agreed",
    "awaited",
    "describe",
    "place_text",
    "whereabouts",
]

Program = Coroutine[Operation, Any, Any]

ALONE: Final = frozenset({Pause, Gone})
"""What a rank awaits without any other rank."""

LEFT: Final = "left"
UNBEGUN: Final = "not_begun"


def agreed(operations: list[Operation]) -> Any:
    """The operation that all members await; None if they differ, or if one waits alone."""
    first = operations[0]
    if len(operations) > 1:
        site, iteration, plan = first.site, first.iteration, first.plan
        kind, group = first.kind, first.group
        for other in operations[1:]:
            if other.plan is not plan or other.iteration != iteration or other.site != site:
                return None
            if other.kind != kind or other.group != group:
                return None
    return None if type(first) in ALONE else first


def describe(at: Operation | Place) -> str:
    """Where a rank is, for people."""
    site = at.place if isinstance(at, Operation) else at.site
    return f"is in {at.kind} at {site}, iteration {at.iteration}"


def awaited(program: Program) -> Operation | None:
    """The operation that a suspended program awaits: its innermost awaitable is the operation's own
    generator. None if the program has not begun or is over."""
    inner: Any = awaited_by(program)
    while (further := awaited_by(inner)) is not None:
        inner = further
    if inner is None:
        return None
    frame = getattr(inner, "gi_frame", None)
    held = gc.get_referents(inner) if frame is None else [frame.f_locals.get("self")]
    return next((at for at in held if isinstance(at, Operation)), None)


def whereabouts(rank: int, program: Program | None, at: Operation | None) -> Place:
    """Where a suspended program is that awaits `at`; None: one that has ended."""
    if at is None:
        left = program is None or getcoroutinestate(program) == CORO_CLOSED
        return Place(rank, LEFT if left else UNBEGUN, "", 0)
    return Place(rank, at.kind, at.place, at.iteration)


def place_text(place: Place) -> str:
    """Where a rank is, as a sentence."""
    if place.kind == LEFT:
        return f"rank {place.rank} has left"
    if place.kind == UNBEGUN:
        return f"rank {place.rank} has not begun"
    return f"rank {place.rank} {describe(place)}"
