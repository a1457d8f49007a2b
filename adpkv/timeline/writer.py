"""Writes timeline records into a memory-mapped file that grows.

A process that is killed leaves all that it wrote, and what it was just doing: a record is written
as something begins, and its end is filled in. It costs no system call but for one in
`GROWTH_BYTES`. The file is bounded. What finds no room any more is counted, and dropped.
"""

from __future__ import annotations

import mmap
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from adpkv.output.losses import Losses
from adpkv.timeline.format import (
    DROPPED_AT,
    HEADER_BYTES,
    LENGTH,
    MAGIC,
    NAME,
    VERSION,
    What,
)

__all__ = ["NOWHERE", "RecordFile"]

GROWTH_BYTES: Final = 1 << 20

MOST_NAMES: Final = (1 << 16) - 1

NOWHERE: Final = -1
"""Where a record is that was dropped."""


class RecordFile:
    """One file of records. Only one thread may call it.

    Args:
        path: the file, which must not exist.
        limit_bytes: its largest size.
        losses: notes it where the file cannot be made or cannot grow; then all is dropped.
    """

    def __init__(self, path: Path, limit_bytes: int, losses: Losses) -> None:
        self.path, self._losses = path, losses
        self._limit = max(limit_bytes, HEADER_BYTES)
        self._numbers: dict[str, int] = {}
        self._used, self._size, self._dropped = HEADER_BYTES, 0, 0
        self._fd, self._full = -1, False
        self._map: mmap.mmap | None = None
        with losses.of(path.name):
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
            size = min(GROWTH_BYTES, self._limit)
            # Without room on the disk a write into mapped memory would raise SIGBUS: reserve it.
            os.posix_fallocate(self._fd, 0, size)
            self._map = mmap.mmap(self._fd, size)
            self._size = size
            self._map[: len(MAGIC) + 4] = MAGIC + VERSION.to_bytes(4, "little")

    def append(self, record: bytes) -> int:
        """Write a record; returns where it is, for `patch`, or NOWHERE if it was dropped."""
        at = self._used + LENGTH.size
        end = at + len(record)
        mapped = self._map
        if end > self._size:
            mapped = self._grown(end)
        if mapped is None:
            self._dropped += 1
            if self._map is not None:
                self._map[DROPPED_AT : DROPPED_AT + 8] = self._dropped.to_bytes(8, "little")
            return NOWHERE
        mapped[at:end] = record
        mapped[self._used : at] = LENGTH.pack(len(record))  # last: now it is there
        self._used = end
        return at

    def patch(self, at: int, offset: int, fields: bytes) -> None:
        """Overwrite a part of the record at `at`."""
        if at >= 0 and self._map is not None:
            begin = at + offset
            self._map[begin : begin + len(fields)] = fields

    def number(self, text: str) -> int:
        """The number of a name, which is written before a record refers to it; 0 for one that finds
        no room."""
        found = self._numbers.get(text)
        if found is None:
            found = len(self._numbers) + 1
            if found > MOST_NAMES:
                return 0
            said = NAME.pack(What.NAME, found) + text.encode()
            self._numbers[text] = found if self.append(said) != NOWHERE else 0
        return self._numbers[text]

    def close(self) -> None:
        """No more records; closing twice is closing once."""
        mapped, self._map = self._map, None
        if mapped is not None:
            with suppress(BufferError, ValueError):
                mapped.close()
        if self._fd >= 0:
            with self._losses.of(self.path.name):
                os.ftruncate(self._fd, self._used)
            os.close(self._fd)
            self._fd = -1
        self._size = 0

    def _grown(self, end: int) -> mmap.mmap | None:
        """The mapping, with room up to `end`; None where there is none."""
        size = min(max(end, self._size + GROWTH_BYTES), self._limit)
        if self._map is None or end > size or self._full:
            return None
        try:
            os.posix_fallocate(self._fd, self._size, size - self._size)
            self._map.resize(size)
        except OSError as error:
            self._losses.note(self.path.name, error)
            self._full = True
            return None
        self._size = size
        return self._map
