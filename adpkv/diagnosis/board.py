"""Where each rank of this host stands, read from the flight recorders of all of them.

The rings are opened once, as the run begins: they can be read while their ranks hang, and after
their files have lost their names.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from adpkv.diagnosis.jobs import ring_path
from adpkv.diagnosis.ring import Record, Ring
from adpkv.errors import Place

__all__ = ["Board", "Standing", "standing_of"]


class Standing(NamedTuple):
    """Where a rank is, and since when; `since_ns` is 0 for one that is between two meetings."""

    since_ns: int
    group: int
    place: Place


def standing_of(rank: int, current: Record | None) -> Standing:
    """A rank's standing by the meeting that it came to last."""
    if current is None:
        return Standing(0, 0, Place(rank, "", "", 0))
    since_ns = 0 if current.end_ns else current.begin_ns
    place = Place(rank, current.kind, current.site, current.iteration)
    return Standing(since_ns, current.group, place)


class Board:
    """The rings of this host's ranks, in rank order; `own` is this rank."""

    def __init__(self, rings: Sequence[Ring], own: int) -> None:
        self.rings = tuple(rings)
        self._own = next(ring for ring in rings if ring.rank == own)

    @classmethod
    def open(cls, folder: Path, ranks: Sequence[int], own: int) -> Board:
        """Open the rings of these ranks, which all have made them."""
        return cls([Ring.open(ring_path(folder, rank)) for rank in sorted(ranks)], own)

    def standings(self) -> list[Standing]:
        """Where every rank of this host is, in rank order. Reading them takes a while, in which a
        rank that does not stand still may move on."""
        return [standing_of(ring.rank, ring.current()) for ring in self.rings]

    def own(self) -> Standing:
        """Where this rank is."""
        return standing_of(self._own.rank, self._own.current())
