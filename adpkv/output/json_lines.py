"""A file of JSON, one item a line, written in batches: what events and records have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from adpkv.output.losses import LineFile, Losses
from adpkv.subclassing import mypyc_attr

__all__ = ["JsonLines"]

T = TypeVar("T")


@mypyc_attr(allow_interpreted_subclasses=True)
class JsonLines(Generic[T]):
    """Keeps items until there are `batch` of them, then writes them whole, oldest first."""

    def __init__(self, path: Path, batch: int, losses: Losses | None = None) -> None:
        self._file = LineFile(path, losses)
        self._encode_lines = msgspec.json.Encoder().encode_lines
        self._batch = batch
        self._pending: list[T] = []

    def add(self, item: T) -> None:
        """Keep it; it must not be changed afterwards."""
        self._pending.append(item)
        if len(self._pending) >= self._batch:
            self.flush()

    def flush(self) -> None:
        """Write what is kept now."""
        pending, self._pending = self._pending, []  # another thread may write meanwhile
        if pending:
            self._file.write(self._encode_lines(pending))

    def close(self) -> None:
        """Write what is kept and close the file; closing twice is closing once."""
        try:
            self.flush()
        finally:
            self._file.close()
