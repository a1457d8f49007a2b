"""Rows of a trace as they are read, made into its columns some thousand at a time.

An array converts each integer that is appended by itself, in ten times the instructions that
`struct` takes for one of thousands; and a million rows as objects would take 300 MB until the last.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from struct import pack
from typing import Final

from adpkv.workload.traces import Trace

__all__ = ["Columns"]

MOST_ROWS: Final = 1024
"""So many rows wait to be made columns."""

NAMES: Final = (
    "at_ns",
    "prompt_tokens",
    "output_tokens",
    "known_tokens",
    "conversation",
    "follows",
    "think_ns",
    "cancel_ns",
)
"""The columns of which each row has one value, in its order."""


class Columns:
    """Makes a `Trace`, of which each id stands for `hash_tokens` tokens."""

    def __init__(self, hash_tokens: int) -> None:
        self._trace = Trace(hash_tokens)
        self._rows: list[tuple[int, ...]] = []
        self._ids: list[int] = []
        self._lasts: list[int] = []
        """Where each row's ids end, among all of the trace."""
        self._before = 0
        """Ids that are in the trace already."""

    def add(self, row: tuple[int, ...], ids: Sequence[int]) -> None:
        """Append a row: its values as `NAMES` has them, and its ids."""
        self._rows.append(row)
        self._ids.extend(ids)
        self._lasts.append(self._before + len(self._ids))
        if len(self._rows) == MOST_ROWS:
            self._flush()

    def trace(self) -> Trace:
        """The trace with all rows so far."""
        self._flush()
        return self._trace

    def _flush(self) -> None:
        trace = self._trace
        if self._rows:
            for name, values in zip(NAMES, zip(*self._rows, strict=True), strict=True):
                _extend(getattr(trace, name), values)
        _extend(trace.ids, self._ids)
        _extend(trace.first_id, self._lasts)
        self._before += len(self._ids)
        for done in (self._rows, self._ids, self._lasts):
            done.clear()


def _extend(column: array[int], values: Iterable[int]) -> None:
    found = tuple(values)
    column.frombytes(pack(f"{len(found)}q", *found))
