"""What a collective through shared memory changes each time; and, compiled, one in one call.

The compiled build has `quick.c` in place of this module. Where a rank says what it said at this
place in the code the time before, and all members come and do likewise, that is a collective with
its record in one call of C; everything else is given to the code in Python, which is all that there
is without it. For that it must see what both change: so these values are in base classes, which
are structures there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from adpkv.executor.collectives import Operation

__all__ = [
    "MISSED",
    "CountsState",
    "GroupState",
    "Quick",
    "RingState",
    "RoundsState",
    "SiteState",
    "quick",
]

MISSED: Final = object()
"""What `Quick.perform` returns of what is not for it; nothing has been done then."""


class RingState:
    """Of a flight recorder: the last record; the first words of the next one's place, and of the
    collective's that this rank came to last."""

    __slots__ = ("_at", "_next", "_written")
    _written: int
    _next: int
    _at: int


class RoundsState:
    """Of an exchange: the number of the last round of slots."""

    __slots__ = ("_round",)
    _round: int


class CountsState:
    """Of what is counted of a rank's collectives: how many, and how long they took it."""

    __slots__ = ("count", "total_ns")
    count: int
    total_ns: int


class GroupState:
    """Of a group: the plan of the last collective with its digest; the number of the last
    collective or wait, and the size of this rank's payload in it."""

    __slots__ = ("_plan", "_plan_digest", "payload_bytes", "sequence")
    _plan: Any
    _plan_digest: int
    sequence: int
    payload_bytes: int


class SiteState:
    """Of a call site (`worlds.mpi.call_site`)."""

    __slots__ = ("code", "heads", "kind", "nbytes", "payload", "result", "speaks", "tag")
    kind: str
    payload: Any
    result: Any
    heads: bytes
    tag: int
    code: int
    nbytes: int
    speaks: bool


class Quick(Protocol):
    """Collectives of one group, in C."""

    def slots(
        self,
        site: Any,
        changed: bytes,
        group: int,
        sequence: int,
        iteration: int,
        code: int,
        digest: int,
        /,
    ) -> bool:
        """As `Exchange.slots`."""
        ...

    def perform(self, op: Operation, /) -> Any:
        """As the driver performs a collective, with its record; or `MISSED`."""
        ...


def quick(
    *,
    state: GroupState,
    rounds: RoundsState,
    counts: CountsState,
    ring: RingState,
    sites: Mapping[str, Any],
    names: Mapping[str, tuple[str, int]],
    slots: Callable[..., bool],
    go_on: Callable[[Any], bool],
    finish: Callable[[Any], Any],
    types: tuple[type[Operation], type[Operation]],
    stepped: Callable[[Any, int, int], None],
    elapsed: Callable[..., Any],
    interrupted: type[Exception],
    memory: Any,
    records: Any,
    heads: tuple[int, int],
    members: int,
    index: int,
    bounds: tuple[int, int, int],
    group: int,
    place: int,
    crowded: bool,
) -> Quick | None:
    """Those of a group, of a rank that records them; None in plain Python.

    Args:
        state, rounds, counts, ring: of the group, its exchange, its counts and its recorder.
        sites, names: the group's `SiteState` by site; kind and names of a record, likewise.
        slots: a round of slots, as in Python.
        go_on: the rest of one in which this member has written its head.
        finish: the rest of a collective likewise; returns its result.
        types: the types of operation that this is for: collectives, steps.
        stepped, elapsed: what counts a step; makes its result.
        interrupted: the error of a rank failure.
        memory, records: of the segment, and of the ring.
        heads: where all heads are in `memory`, in both sets.
        members, index: how many they are, and which this one is.
        bounds: of the ring its first and last word, and the one that has the current record.
        group, place: the group's number, and with its epoch as a head has it.
        crowded: whether ranks share cores here.
    """
    return None
