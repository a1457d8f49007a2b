"""Where each rank of this host stands, in memory that all of them share.

One record per rank, written by that rank alone as it enters and leaves a meeting, and readable by
the others while it hangs. The file behind it loses its name as soon as all have opened it, so that
nothing stays behind whoever dies.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from adpkv.errors import Place
from adpkv.executor.meetings import Meeting

__all__ = ["RECORD_BYTES", "Board", "Standing"]

_RECORD: Final = struct.Struct("<qqq32s64s")
"""since_ns (0: in no meeting), group, iteration, kind, site."""

_SINCE: Final = struct.Struct("<q")
RECORD_BYTES: Final = 128
KIND_BYTES: Final = 32
SITE_BYTES: Final = 64


class Standing(NamedTuple):
    """Where a rank is, and since when; `since_ns` is 0 for one that is between two meetings."""

    since_ns: int
    group: int
    place: Place


class Board:
    """This rank's record, and a look at all others. `ranks` are the world ranks of this host, in
    the order of their records."""

    def __init__(self, path: Path, ranks: Sequence[int], own: int) -> None:
        self._ranks = tuple(ranks)
        self._at = self._ranks.index(own) * RECORD_BYTES
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), RECORD_BYTES * len(self._ranks))
        self._texts: dict[str, bytes] = {}

    @staticmethod
    def make(path: Path, ranks: int) -> None:
        """The file for so many ranks, empty; its pages are there before anybody is timed."""
        path.write_bytes(bytes(RECORD_BYTES * ranks))

    def enter(self, op: Meeting, now_ns: int) -> None:
        """This rank comes to a meeting."""
        texts = self._texts
        kind, site = texts.get(op.kind), texts.get(op.site)
        if kind is None or site is None:
            kind = texts[op.kind] = op.kind.encode()[:KIND_BYTES]
            site = texts[op.site] = op.site.encode()[:SITE_BYTES]
        _RECORD.pack_into(self._map, self._at, now_ns, op.group, op.iteration, kind, site)

    def leave(self) -> None:
        """It goes on."""
        _SINCE.pack_into(self._map, self._at, 0)

    def standings(self) -> list[Standing]:
        """Where every rank of this host is, in rank order. A record that is being written may come
        out mixed; who stands still for long is not being written."""
        return [self._read(rank, i * RECORD_BYTES) for i, rank in enumerate(self._ranks)]

    def own(self) -> Standing:
        """Where this rank is."""
        return self._read(self._ranks[self._at // RECORD_BYTES], self._at)

    def _read(self, rank: int, at: int) -> Standing:
        since_ns, group, iteration, kind, site = _RECORD.unpack_from(self._map, at)
        said = [text.rstrip(b"\0").decode(errors="replace") for text in (kind, site)]
        return Standing(since_ns, group, Place(rank, said[0], said[1], iteration))
