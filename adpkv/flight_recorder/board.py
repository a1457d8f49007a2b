"""Where each rank of this host stands, read from the flight recorders of all of them.

The rings are opened once, as the run begins: they can be read while their ranks hang, and after
their files have lost their names.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from adpkv.errors import Place
from adpkv.flight_recorder.job_directory import ring_path
from adpkv.flight_recorder.reader import Record, Ring

__all__ = ["Board", "BoardEntry", "entry_of"]


class BoardEntry(NamedTuple):
    """Where a rank is, and since when; `since_ns` is 0 for one that is between two collectives."""

    since_ns: int
    group: int
    place: Place


def entry_of(rank: int, current: Record | None) -> BoardEntry:
    """A rank's entry by the collective that it came to last."""
    if current is None:
        return BoardEntry(0, 0, Place(rank, "", "", 0))
    since_ns = 0 if current.end_ns else current.begin_ns
    place = Place(rank, current.kind, current.site, current.iteration)
    return BoardEntry(since_ns, current.group, place)


class Board:
    """The rings of this host's ranks, in rank order; `own` is this rank."""

    def __init__(self, rings: Sequence[Ring], own: int) -> None:
        self.rings = tuple(rings)
        self._own = next(ring for ring in rings if ring.rank == own)

    @classmethod
    def open(cls, folder: Path, ranks: Sequence[int], own: int) -> Board:
        """Open the rings of these ranks, which all have made them."""
        return cls([Ring.open(ring_path(folder, rank)) for rank in sorted(ranks)], own)

    def entries(self) -> list[BoardEntry]:
        """Where every rank of this host is, in rank order. Reading them takes a while, in which a
        rank that does not stand still may move on."""
        return [entry_of(ring.rank, ring.current()) for ring in self.rings]

    def own(self) -> BoardEntry:
        """Where this rank is."""
        return entry_of(self._own.rank, self._own.current())
