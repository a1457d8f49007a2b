"""The board: the collective in which each rank of this host is now, read from their flight
recorders.

The ring files are opened once, when the run begins. So they can be read while their ranks hang, and
after the files were unlinked.
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
    """Where one rank is, and since when. `since_ns` is the monotonic clock as the rank came to the
    collective in `place`; 0 for a rank that has left it and has not come to the next."""

    since_ns: int
    group: int
    place: Place


def entry_of(rank: int, current: Record | None) -> BoardEntry:
    """A rank's entry, made from the record of the collective that it came to last."""
    if current is None:
        return BoardEntry(0, 0, Place(rank, "", "", 0))
    since_ns = 0 if current.end_ns else current.begin_ns
    place = Place(rank, current.kind, current.site, current.iteration)
    return BoardEntry(since_ns, current.group, place)


class Board:
    """The rings of this host's ranks, in rank order. `own` is the rank of this process."""

    def __init__(self, rings: Sequence[Ring], own: int) -> None:
        self.rings = tuple(rings)
        self._own = next(ring for ring in rings if ring.rank == own)

    @classmethod
    def open(cls, folder: Path, ranks: Sequence[int], own: int) -> Board:
        """Open the rings of these ranks. Each of them must have created its file."""
        return cls([Ring.open(ring_path(folder, rank)) for rank in sorted(ranks)], own)

    def entries(self) -> list[BoardEntry]:
        """Where every rank of this host is, in rank order. The rings are read one after the other:
        a rank that is running may move on meanwhile."""
        return [entry_of(ring.rank, ring.current()) for ring in self.rings]

    def own(self) -> BoardEntry:
        """Where the rank of this process is."""
        return entry_of(self._own.rank, self._own.current())
