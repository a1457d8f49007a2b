"""Reads the timeline records of a run: also of one that was killed, or is still going on."""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from adpkv.errors import UsageError
from adpkv.output import RunFolder
from adpkv.output.story_files import read_section
from adpkv.timeline.format import (
    DROPPED_AT,
    HEADER_BYTES,
    JOINED,
    LENGTH,
    MAGIC,
    MEMBER,
    MESSAGE,
    NAME,
    PAUSED,
    STRETCH,
    VERSION,
    What,
)
from adpkv.timeline.writer import GROWTH_BYTES

__all__ = ["Joined", "Member", "Paused", "Record", "RecordReader", "Sent", "Stretch",
           "open_records"]  # fmt: skip


class Joined(NamedTuple):
    """A rank in a collective, as in `format.JOINED`; an end of `OPEN` never came."""

    group: int
    rank: int
    sequence: int
    iteration: int
    kind: str
    site: str
    nbytes: int
    begin_ns: int
    ready_ns: int
    end_ns: int
    batch: tuple[int, int, int, int]
    """Prompt tokens, pairs, sequences, KV tokens of a step."""


class Member(NamedTuple):
    """A member of a group in a stretch, as in `format.MEMBER`."""

    rank: int
    base: int
    slope: int
    prefill_tokens: int
    sequences: int


class Stretch(NamedTuple):
    """A stretch of a group in virtual time, as in `format.STRETCH`."""

    group: int
    iteration: int
    collectives: tuple[tuple[str, str], ...]
    paid: int
    each_ns: int
    besides_ns: int
    ticks: int
    begin_ns: int
    end_ns: int
    steps: int
    members: tuple[Member, ...]


class Paused(NamedTuple):
    """A rank does something alone, or waits for one that does."""

    group: int
    rank: int
    kind: str
    site: str
    begin_ns: int
    end_ns: int


class Sent(NamedTuple):
    """A message was sent, or (with `to` None) read."""

    owner: int
    to: int | None
    name: str
    request: int
    at_ns: int


Record = Joined | Stretch | Paused | Sent


class RecordReader:
    """The records of one file.

    Raises:
        UsageError: it cannot be read, or is none of ours.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._names: dict[int, str] = {}
        self.dropped = 0
        """How many records found no room."""
        self._data: mmap.mmap | bytes = b""
        try:
            with path.open("rb") as file:
                self.is_empty = not os.fstat(file.fileno()).st_size
                """A rank that was killed as it made its file, or found a full disk, leaves that."""
                if self.is_empty:
                    return
                self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise UsageError(f"{path}: cannot be read: {why}") from error
        head = self._data[:HEADER_BYTES]
        version = int.from_bytes(head[len(MAGIC) : len(MAGIC) + 4], "little")
        if len(head) < HEADER_BYTES or not head.startswith(MAGIC) or version != VERSION:
            raise UsageError(f"{path}: these are no timeline records of this version")
        self.dropped = int.from_bytes(head[DROPPED_AT : DROPPED_AT + 8], "little")

    def __iter__(self) -> Iterator[Record]:
        """Every whole record; half a one at the end, and what is no record, are left out."""
        data, at, size = self._data, HEADER_BYTES, len(self._data)
        while at + LENGTH.size <= size:
            (length,) = LENGTH.unpack_from(data, at)
            begin = at + LENGTH.size
            if not 0 < length <= GROWTH_BYTES or begin + length > size:
                return
            record = self._read(data[begin : begin + length])
            if record is not None:
                yield record
            at = begin + length

    def _read(self, data: bytes) -> Record | None:
        try:
            what = data[0]
            if what == What.JOINED:
                return self._joined(data)
            if what == What.STRETCH:
                return self._stretch(data)
            if what == What.PAUSED:
                _, group, rank, name, begin_ns, end_ns = PAUSED.unpack(data)
                return Paused(group, rank, *self._place(name), begin_ns, end_ns)
            if what == What.MESSAGE:
                _, sent, owner, to, name, request, at_ns = MESSAGE.unpack(data)
                text = self._names.get(name, "?")
                return Sent(owner, to if sent else None, text, request, at_ns)
            if what == What.NAME:
                _, number = NAME.unpack_from(data)
                self._names[number] = data[NAME.size :].decode(errors="replace")
        except struct.error:
            return None
        return None

    def _joined(self, data: bytes) -> Joined:
        (_, group, rank, sequence, iteration, name, nbytes, begin_ns, ready_ns, end_ns,
         *batch) = JOINED.unpack(data)  # fmt: skip
        kind, site = self._place(name)
        whole = (batch[0], batch[1], batch[2], batch[3])
        return Joined(group, rank, sequence, iteration, kind, site, nbytes,
                      begin_ns, ready_ns, end_ns, whole)  # fmt: skip

    def _stretch(self, data: bytes) -> Stretch:
        (_, group, iteration, name, paid, each_ns, besides_ns, ticks, begin_ns, count, end_ns,
         steps) = STRETCH.unpack_from(data)  # fmt: skip
        collectives = tuple(map(_split, self._names.get(name, "? ?").split(",")))
        members = tuple(
            Member(*MEMBER.unpack_from(data, STRETCH.size + i * MEMBER.size)) for i in range(count)
        )
        return Stretch(group, iteration, collectives, paid, each_ns, besides_ns, ticks,
                       begin_ns, end_ns, steps, members)  # fmt: skip

    def _place(self, name: int) -> tuple[str, str]:
        return _split(self._names.get(name, "? ?"))


def _split(text: str) -> tuple[str, str]:
    kind, _, site = text.partition(" ")
    return kind, site


def open_records(folder: RunFolder) -> Sequence[RecordReader]:
    """All files of a run's timeline, those of ranks in their order.

    Raises:
        UsageError: the run has none, or one of them is no such file.
    """
    paths = sorted(folder.timeline.glob("*.records"), key=lambda path: (len(path.name), path.name))
    if not paths:
        read_section(folder)  # which says so if no run is there
        raise UsageError(
            f"{folder.path}: this run has no timeline; make one with --set observe.timeline=true"
        )
    return [RecordReader(path) for path in paths]
