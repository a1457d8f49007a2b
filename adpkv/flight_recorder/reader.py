"""Reads a flight recorder's ring, from any process, while its writer runs, hangs or has ended.

The writer never waits for a reader, so a reader may see a record that is half overwritten. It
accepts a record only if two reads were equal, the record has its own number, which is stored last,
and its place in the ring had not been claimed again meanwhile.
"""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any, Final, NamedTuple

from adpkv.errors import UsageError
from adpkv.flight_recorder.format import (
    CLOCK,
    CURRENT,
    EMPTY_POLLS,
    END,
    HEADER,
    KIND_BITS,
    MAGIC,
    MOST_NAMES,
    NAME_BYTES,
    NAMES,
    NAMES_AT,
    NOTED,
    RECORD,
    RECORD_BYTES,
    RECORDS_AT,
    VERSION,
    WALL,
    WORD_BYTES,
    What,
    file_bytes,
)

__all__ = ["LAST", "Owner", "Record", "Ring", "Snapshot"]

LAST: Final = 8
"""How many of the newest records are read unless the caller asks for more."""

MOST_TRIES: Final = 100
"""Attempts to read the current record whole. A writer takes 0.1 µs to write it; one that was killed
while it wrote leaves it half written for good."""


_WHATS: Final = frozenset(map(int, What))


class Owner(NamedTuple):
    """The process that wrote a ring, and when the run's clock began.

    Args:
        pid, start_ticks: its process id, and its start time in the kernel's clock ticks since boot.
        rank, size: its world rank, of so many.
        host, experiment: their names.
        records: how many records the ring holds.
        clock_ns, wall_ns: the host's monotonic clock and the calendar clock (nanoseconds since
            1970) when the run's clock began; 0 until it begins.
    """

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
    """One thing that a rank did. `format.RECORD` says what the fields mean for each kind of record.
    `end_ns` is 0 for a collective in which the rank still is."""

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
    the latest finished ones, oldest first, without any that could not be read whole."""

    owner: Owner
    written: int
    empty_polls: int
    current: Record | None
    records: tuple[Record, ...]
    names: tuple[str, ...] = ()
    """All kinds and sites that the rank has named so far."""


class Ring:
    """An open ring file. The file may be unlinked meanwhile; the mapping stays readable."""

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
        """Open a ring for reading.

        Raises:
            UsageError: it is not a ring file, has another version, or is incomplete.
            FileNotFoundError: there is no such file.
        """
        with path.open("rb") as file:
            head = file.read(RECORDS_AT)
            _check(path, head, path.stat().st_size)
            return cls(path, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))

    @property
    def rank(self) -> int:
        """The world rank that wrote it."""
        return self._rank

    @property
    def owner(self) -> Owner:
        """The process that wrote it."""
        return Owner(
            self._pid, self._start_ticks, self._rank, self._size, self._host, self._experiment,
            self._records, self._word(CLOCK), self._word(WALL),
        )  # fmt: skip

    def current(self) -> Record | None:
        """The collective that the rank came to last. None if it has come to none, or was killed
        while it wrote this record."""
        for _ in range(MOST_TRIES):
            number = self._word(CURRENT)
            if not number:
                return None
            seen = self._slot(number)
            if _is(seen, number) and seen == self._slot(number):
                return self._record(seen, number)
        return None

    def snapshot(self, last: int = LAST) -> Snapshot:
        """What can be read now, with the `last` newest records."""
        current = self.current()
        newest = self._newest()
        most = min(last + 1, self._records)  # one of them may be open
        wanted = range(max(1, newest - most + 1), newest + 1)
        read = [(number, self._slot(number)) for number in wanted]
        again = [self._slot(number) for number in wanted]
        # A place is claimed before it is written: an older record may be overwritten by now.
        gone = self._newest() - self._records
        whole = tuple(
            self._record(seen, number)
            for (number, seen), twice in zip(read, again, strict=True)
            if seen == twice and number > gone and _is(seen, number) and not _is_open(seen)
        )
        names = tuple(map(self._name, range(1, self._word(NAMES) + 1)))
        empty = self._word(EMPTY_POLLS)
        return Snapshot(self.owner, newest, empty, current, whole[-last:], names)

    def _newest(self) -> int:
        """The number of the last record that was claimed."""
        return max(self._word(CURRENT), self._word(NOTED))

    def _slot(self, number: int) -> bytes:
        at = RECORDS_AT + (number - 1) % self._records * RECORD_BYTES
        return self._map[at : at + RECORD_BYTES]

    def _record(self, seen: bytes, number: int) -> Record:
        fields = RECORD.unpack(seen)
        begin_ns, ready_ns, end_ns, sequence, iteration, nbytes, group, kind, site, _ = fields
        what, kind = kind >> KIND_BITS, kind % (1 << KIND_BITS)
        ready_ns = ready_ns or (0 if what == What.STEP else begin_ns)
        return Record(
            number, What(what), group, self._name(kind), self._name(site), iteration, sequence,
            begin_ns, ready_ns, end_ns, nbytes,
        )  # fmt: skip

    def _word(self, number: int) -> int:
        at = number * WORD_BYTES
        return int(memoryview(self._map)[at : at + WORD_BYTES].cast("q")[0])

    def _name(self, number: int) -> str:
        """The text with this number. It was written before any record refers to it, and never
        changes."""
        names = self._names
        while len(names) <= number:
            at = NAMES_AT + (len(names) - 1) * NAME_BYTES
            names.append(_text(self._map[at : at + NAME_BYTES]))
        return names[number] or "?"


def _check(path: Path, head: bytes, length: int) -> None:
    if len(head) < HEADER.size or not head.startswith(MAGIC):
        raise UsageError(f"{path}: not the ring of a flight recorder")
    fields = HEADER.unpack_from(head)
    version, records, shapes = fields[1], fields[5], fields[6:9]
    if version != VERSION or shapes != (RECORD_BYTES, MOST_NAMES, NAME_BYTES):
        raise UsageError(f"{path}: a ring of version {version}; this adpkv reads version {VERSION}")
    rank, size = fields[3:5]
    if not (0 <= rank < size and records > 0):
        raise UsageError(f"{path}: a ring of rank {rank} of {size} with {records} records")
    if length != file_bytes(records):
        raise UsageError(
            f"{path}: a ring of {file_bytes(records):,} bytes, of which {length:,} are there"
        )


def _is(seen: bytes, number: int) -> bool:
    fields: tuple[int, ...] = RECORD.unpack(seen)
    return fields[-1] == number and fields[7] >> KIND_BITS in _WHATS


def _is_open(seen: bytes) -> bool:
    """A collective in which the rank is still: `ready_ns` may be there, `end_ns` is not."""
    return not any(seen[END * WORD_BYTES : (END + 1) * WORD_BYTES])


def _text(said: bytes) -> str:
    return said.rstrip(b"\0").decode(errors="replace")
