"""The flight recorder of one rank: what it does, as records in a ring in a memory-mapped file.

It is always on, so it must be cheap: one prepared struct packs a record into mapped memory, and the
end of a collective costs two small writes. Since the memory is a file's, other processes can read
it while this one hangs, and after it was killed.

The collective in which a rank is now is in the ring too, without an end; the header says where.
Records of empty polls would push all others out of the ring, so these are only counted.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Mapping
from pathlib import Path
from struct import Struct
from typing import Final

from adpkv.executor.collectives import Collective, Operation, Pause, Step, Wait
from adpkv.flight_recorder.format import (
    BYTES,
    CLOCK,
    CURRENT,
    EMPTY_POLLS,
    END,
    HEADER,
    ITERATION,
    KIND_BITS,
    MAGIC,
    MOST_NAMES,
    NAME_BYTES,
    NAMES,
    NAMES_AT,
    NOTED,
    OPENED,
    READY,
    RECORD,
    RECORD_BYTES,
    RECORDS_AT,
    TEXT_BYTES,
    VERSION,
    WALL,
    WORD_BYTES,
    What,
    file_bytes,
)
from adpkv.flight_recorder.processes import start_ticks
from adpkv.flight_recorder.quick import RingState

__all__ = ["FlightRecorder"]

_WHAT: Final[dict[type, int]] = {
    Collective: int(What.COLLECTIVE),
    Step: int(What.STEP),
    Wait: int(What.WAIT),
    Pause: int(What.PAUSE),
}
_POLL: Final = int(What.POLL)
_pack_into, _open_into = RECORD.pack_into, OPENED.pack_into
_FIRST: Final = RECORDS_AT // WORD_BYTES
_WORDS: Final = RECORD_BYTES // WORD_BYTES
_TWO_NAMES, _NAMES = Struct("@HH"), Struct("@I")


class FlightRecorder(RingState):
    """Writes this process's ring. Only the rank's own thread may call it."""

    def __init__(
        self, path: Path, *, rank: int, size: int, host: str, experiment: str, records: int
    ) -> None:
        """Create the file at `path`, with room for `records` records.

        Raises:
            OSError: it cannot be created, or there is no room for it.
        """
        self.path = path
        length = file_bytes(records)
        with path.open("x+b") as file:
            # Reserve it now: without room, a later write would raise SIGBUS in the middle of a run.
            os.posix_fallocate(file.fileno(), 0, length)
            self._map = mmap.mmap(file.fileno(), length)
        self._words = memoryview(self._map).cast("q")
        for at in range(0, length, mmap.PAGESIZE):
            self._map[at] = 0  # touch each page now: no page fault during the run
        HEADER.pack_into(
            self._map, 0, MAGIC, VERSION, os.getpid(), rank, size, records, RECORD_BYTES,
            MOST_NAMES, NAME_BYTES, start_ticks(os.getpid()),
            _cut(host, TEXT_BYTES), _cut(experiment, TEXT_BYTES),
        )  # fmt: skip
        self._end = _FIRST + records * _WORDS
        self._ids: dict[str, int] = {}
        self._sites: dict[str, tuple[str, int]] = {}
        """By site: the kind that it had last, both names as in `OPENED`."""
        self._written = self._empty_polls = 0
        self._next = _FIRST
        """The first word of the next record's place."""
        self._at = 0
        """The first word of the collective that this rank came to last; 0 if to none."""

    @property
    def memory(self) -> mmap.mmap:
        """The whole file."""
        return self._map

    @property
    def bounds(self) -> tuple[int, int, int]:
        """The first word of the ring, the first behind it, and the one with the number of the
        collective that this rank came to last."""
        return _FIRST, self._end, CURRENT

    @property
    def sites(self) -> Mapping[str, tuple[str, int]]:
        """By site: the kind that it had last, both names as in `OPENED`."""
        return self._sites

    def start(self, clock_ns: int, wall_ns: int) -> None:
        """The run's clock began at these readings of the monotonic clock and of the calendar clock,
        both in nanoseconds."""
        self._words[CLOCK], self._words[WALL] = clock_ns, wall_ns

    def enter(self, op: Operation, sequence: int, now_ns: int) -> None:
        """This rank comes to a collective, which is number `sequence` of its group."""
        found = self._sites.get(op.site)
        if found is None or found[0] != op.kind:
            found = self._new_site(op)
        self._written = number = self._words[CURRENT] = self._written + 1
        self._at = at = self._next
        after = self._next = at + _WORDS
        if after == self._end:
            self._next = _FIRST
        _open_into(
            self._map, at * WORD_BYTES, now_ns, sequence, op.iteration, op.group, found[1], number
        )

    def computed(self, now_ns: int) -> None:
        """This rank's own part of a step is over: from now on it waits for the others."""
        self._words[self._at + READY] = now_ns

    def leave(self, now_ns: int, nbytes: int = 0) -> None:
        """The collective is over for this rank; `nbytes` is the size of its own payload."""
        words, at = self._words, self._at
        if nbytes:
            words[at + BYTES] = nbytes
        words[at + END] = now_ns

    def transferred(
        self,
        what: What,
        site: str,
        peer: int,
        request: int,
        nbytes: int,
        begin_ns: int,
        end_ns: int,
    ) -> None:
        """A transfer was posted or is expected."""
        self._note(int(what), site, peer, request, nbytes, begin_ns, end_ns)

    def polled(self, site: str, ended: int, nbytes: int, begin_ns: int, end_ns: int) -> None:
        """A poll found `ended` transfers that have ended; `nbytes` is what they moved."""
        self._note(_POLL, site, -1, ended, nbytes, begin_ns, end_ns)

    def polled_nothing(self) -> None:
        """A poll found nothing."""
        self._empty_polls = self._words[EMPTY_POLLS] = self._empty_polls + 1

    def remove(self) -> None:
        """Unlink the file. The mapping stays, and may still be written to."""
        self.path.unlink(missing_ok=True)

    def _new_site(self, op: Operation) -> tuple[str, int]:
        kind = self._named(op.kind) | _WHAT.get(type(op), 0) << KIND_BITS
        names: int = _NAMES.unpack(_TWO_NAMES.pack(kind, self._named(op.site)))[0]
        found = self._sites[op.site] = (op.kind, names)
        return found

    def _place(self) -> int:
        """The first word of the next record, which is taken."""
        at = self._next
        self._next = at + _WORDS if at + _WORDS < self._end else _FIRST
        return at

    def _note(
        self, what: int, site: str, group: int, sequence: int, nbytes: int, begin: int, end: int
    ) -> None:
        """Write a record of something that is over already."""
        ids, kind = self._ids, _KINDS[what]
        if self._next == self._at:
            self._move_current()
        number = self._written + 1
        self._written = self._words[NOTED] = number
        iteration = self._words[self._at + ITERATION] if self._at else 0
        _pack_into(
            self._map, self._place() * WORD_BYTES,
            begin, 0, end, sequence, iteration, nbytes, group,
            (ids.get(kind) or self._named(kind)) | what << KIND_BITS,
            ids.get(site) or self._named(site), number,
        )  # fmt: skip

    def _move_current(self) -> None:
        """The ring has come round to the collective in which this rank is, or was last: that
        becomes the newest record, and stays where it is."""
        number, at = self._written + 1, self._place() * WORD_BYTES
        fields = list(RECORD.unpack_from(self._map, at))
        fields[-1] = number
        self._written = self._words[CURRENT] = number
        _pack_into(self._map, at, *fields)

    def _named(self, text: str) -> int:
        """The number of a text. The text is written before any record refers to it."""
        found = self._ids.get(text)
        if found is None:
            found = len(self._ids) + 1
            if found > MOST_NAMES:
                return 0
            at = NAMES_AT + (found - 1) * NAME_BYTES
            self._map[at : at + NAME_BYTES] = _cut(text, NAME_BYTES).ljust(NAME_BYTES, b"\0")
            self._words[NAMES] = self._ids[text] = found
        return found


_KINDS: Final = {int(what): what.name.lower() for what in (What.POST, What.EXPECT, What.POLL)}


def _cut(text: str, most: int) -> bytes:
    return text.encode()[:most]
