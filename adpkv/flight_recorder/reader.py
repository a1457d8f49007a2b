"""Reading a flight recorder's ring, from any process, while its writer runs, hangs or has failed.

The writer never waits for a reader, so what was read may be torn. A reader takes a record only if
it was the same twice, begins and ends with its own number, and its place had not been claimed again
meanwhile.
"""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any, Final, NamedTuple

from adpkv.errors import UsageError
from adpkv.flight_recorder.format import (
    CHECK_MASK,
    CLOCK,
    CURRENT_AT,
    EMPTY_POLLS,
    HEADER,
    MAGIC,
    MOST_NAMES,
    NAME_BYTES,
    NAMES_AT,
    NUMBER_MASK,
    RECORD,
    RECORD_BYTES,
    RECORDS_AT,
    VERSION,
    WALL,
    WORD_BYTES,
    WRITTEN,
    What,
    file_bytes,
)

__all__ = ["LAST", "Owner", "Record", "Ring", "Snapshot"]

LAST: Final = 8
"""How many of the newest records are shown where nobody asks for more."""

MOST_TRIES: Final = 100
"""To read the current record whole. A writer is in it for 0.1 µs; who was killed there stays."""


_WHATS: Final = frozenset(map(int, What))


class Owner(NamedTuple):
    """Whose ring it is, and when the run's clock began: on the host's monotonic clock and on the
    calendar's, both 0 before it did."""

    pid: int
    start_ticks: int
    rank: int
    size: int
    host: str
    experiment: str
    records: int
    clock_ns: int
    wall_ns: int


class Record(NamedTuple):
    """One thing a rank did; `layout.RECORD` says what the fields are for each kind of record.
    `end_ns` is 0 in a collective that the rank is still in."""

    number: int
    what: What
    group: int
    kind: str
    site: str
    iteration: int
    sequence: int
    begin_ns: int
    ready_ns: int
    end_ns: int
    nbytes: int


class Snapshot(NamedTuple):
    """A ring at one moment. `current` is the collective that the rank came to last; `records` are
    the last ones that are over, oldest first, without any that could not be read whole."""

    owner: Owner
    written: int
    empty_polls: int
    current: Record | None
    records: tuple[Record, ...]


class Ring:
    """An opened ring. Its file may lose its name meanwhile; what is mapped stays."""

    def __init__(self, path: Path, mapped: mmap.mmap) -> None:
        self.path = path
        self._map = mapped
        fields: tuple[Any, ...] = HEADER.unpack_from(mapped, 0)
        self._pid, self._rank, self._size, self._records = map(int, fields[2:6])
        self._start_ticks = fields[9]
        self._host, self._experiment = map(_text, fields[10:])
        self._names = [""]

    @classmethod
    def open(cls, path: Path) -> Ring:
        """Open a ring to read.

        Raises:
            UsageError: it is no ring, one of another version, or not whole.
            FileNotFoundError: there is none.
        """
        with path.open("rb") as file:
            head = file.read(RECORDS_AT)
            _check(path, head, path.stat().st_size)
            return cls(path, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))

    @property
    def rank(self) -> int:
        """Which world rank wrote it."""
        return self._rank

    @property
    def owner(self) -> Owner:
        """Whose it is."""
        return Owner(
            self._pid, self._start_ticks, self._rank, self._size, self._host, self._experiment,
            self._records, self._word(CLOCK), self._word(WALL),
        )  # fmt: skip

    def current(self) -> Record | None:
        """The collective that the rank came to last; None if it came to none, or was killed while
        it wrote this down."""
        for _ in range(MOST_TRIES):
            seen = self._map[CURRENT_AT : CURRENT_AT + RECORD_BYTES]
            if seen == self._map[CURRENT_AT : CURRENT_AT + RECORD_BYTES]:
                number = RECORD.unpack(seen)[0]
                if number and _is(seen, number):
                    return self._record(seen, number)
                if not any(seen) and not self._word(WRITTEN):
                    return None
        return None

    def snapshot(self, last: int = LAST) -> Snapshot:
        """What can be read now, with the `last` newest records."""
        current = self.current()
        newest = self._word(WRITTEN)
        wanted = range(max(1, newest - min(last, self._records) + 1), newest + 1)
        read = [(number, self._slot(number)) for number in wanted]
        again = [self._slot(number) for number in wanted]
        # Claimed before it is written: what has a number of before this may be another by now.
        gone = self._word(WRITTEN) - self._records
        whole = tuple(
            self._record(seen, number)
            for (number, seen), twice in zip(read, again, strict=True)
            if seen == twice and number > gone and _is(seen, number)
        )
        return Snapshot(self.owner, newest, self._word(EMPTY_POLLS), current, whole)

    def _slot(self, number: int) -> bytes:
        at = RECORDS_AT + (number - 1) % self._records * RECORD_BYTES
        return self._map[at : at + RECORD_BYTES]

    def _record(self, seen: bytes, number: int) -> Record:
        fields = RECORD.unpack(seen)
        group, begin_ns, ready_ns, end_ns, sequence, iteration, nbytes, kind, site, what = fields[
            1:11
        ]
        return Record(
            number, What(what), group, self._name(kind), self._name(site), iteration, sequence,
            begin_ns, ready_ns, end_ns, nbytes,
        )  # fmt: skip

    def _word(self, number: int) -> int:
        at = number * WORD_BYTES
        return int(memoryview(self._map)[at : at + WORD_BYTES].cast("q")[0])

    def _name(self, number: int) -> str:
        """A name is there before any record says its number, and never changes."""
        names = self._names
        while len(names) <= number:
            at = NAMES_AT + (len(names) - 1) * NAME_BYTES
            names.append(_text(self._map[at : at + NAME_BYTES]))
        return names[number] or "?"


def _check(path: Path, head: bytes, length: int) -> None:
    if len(head) < HEADER.size or not head.startswith(MAGIC):
        raise UsageError(f"{path}: no ring of a flight recorder")
    fields = HEADER.unpack_from(head)
    version, records, shapes = fields[1], fields[5], fields[6:9]
    if version != VERSION or shapes != (RECORD_BYTES, MOST_NAMES, NAME_BYTES):
        raise UsageError(f"{path}: a ring of version {version}, this is for version {VERSION}")
    rank, size = fields[3:5]
    if not (0 <= rank < size and records > 0):
        raise UsageError(f"{path}: a ring of rank {rank} of {size} with {records} records")
    if length != file_bytes(records):
        raise UsageError(
            f"{path}: a ring of {file_bytes(records):,} bytes, of which {length:,} are there"
        )


def _is(seen: bytes, number: int) -> bool:
    fields: tuple[int, ...] = RECORD.unpack(seen)
    whole = fields[0] == number & NUMBER_MASK and fields[11] == number & CHECK_MASK
    return whole and fields[10] in _WHATS


def _text(said: bytes) -> str:
    return said.rstrip(b"\0").decode(errors="replace")
