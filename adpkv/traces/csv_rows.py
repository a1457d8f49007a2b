"""CSV traces: records by their published column names, with line and column in every error."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from adpkv.errors import TraceError
from adpkv.traces import source
from adpkv.traces.row import LATEST_NS, MOST_TOKENS, SECOND_NS

__all__ = ["Record", "columns_of", "table"]


class Record:
    """One row of a table; implements `Place`."""

    __slots__ = ("_cells", "_columns", "_line", "_path")

    def __init__(self, path: Path, line: int, cells: list[str], columns: Mapping[str, int]) -> None:
        self._path, self._line, self._cells, self._columns = path, line, cells, columns

    def has(self, name: str) -> bool:
        """Whether there is such a column with something in it in this row."""
        return name in self._columns and bool(self._cells[self._columns[name]].strip())

    def text(self, name: str) -> str:
        """The text in a column that is there; empty if there is none."""
        return self._cells[self._columns[name]].strip() if name in self._columns else ""

    def count(self, name: str, least: int) -> int:
        """A whole number of tokens, which may be written as `17` or `17.0`.

        Raises:
            TraceError: it is none, or smaller than `least`.
        """
        text = self.text(name)
        try:
            value = float(text)
        except ValueError:
            raise self.error(name, f"{name} must be a whole number, not {_shown(text)}") from None
        if not value.is_integer() or not least <= value <= MOST_TOKENS:
            raise self.error(name, f"{name} must be a whole number >= {least}, not {_shown(text)}")
        return int(value)

    def seconds(self, name: str) -> int:
        """A time in seconds, as nanoseconds.

        Raises:
            TraceError: it is none, negative or too large.
        """
        text = self.text(name)
        if not text:
            raise self.error(name, f"{name} is empty: a row without a time cannot be placed")
        try:
            value = float(text) * SECOND_NS
        except ValueError:
            value = math.nan
        if not 0 <= value < LATEST_NS:
            raise self.error(name, f"{name} must be a time in seconds, not {_shown(text)}")
        return round(value)

    def error(self, key: str, text: str) -> TraceError:
        """As `Place.error`: the column is where the cell begins."""
        before = self._cells[: self._columns.get(key, 0)]
        column = sum(len(cell) + 1 for cell in before) + 1
        return TraceError(f"{self._path}:{self._line}:{column}: {text}")


def columns_of(line: str) -> tuple[str, ...]:
    """The headings in the first line of a table."""
    return tuple(cell.strip() for cell in _split(line))


def table(path: Path, required: Sequence[str]) -> Iterator[Record]:
    """The records of a table.

    Raises:
        TraceError: the file cannot be read, a column is missing, or a row has another number of
            cells than the headings.
    """
    columns: dict[str, int] = {}
    for number, raw in source.lines(path):
        try:
            cells = _split(raw.decode("utf-8").rstrip("\r\n"))
        except UnicodeDecodeError as error:
            raise TraceError(f"{path}:{number}:{error.start + 1}: not UTF-8") from error
        except csv.Error as error:
            raise TraceError(f"{path}:{number}:1: {error}") from error
        if not columns:
            columns = {cell.strip(): place for place, cell in enumerate(cells)}
            missing = [name for name in required if name not in columns]
            if missing:
                raise TraceError(f"{path}:{number}:1: the headings lack {', '.join(missing)}")
            continue
        record = Record(path, number, cells, columns)
        if len(cells) != len(columns):
            raise record.error("", f"{len(cells)} cells where the headings have {len(columns)}")
        yield record


def _split(line: str) -> list[str]:
    # Quotes are rare in these tables, and most of the time of a large one goes here.
    return line.split(",") if '"' not in line else next(csv.reader([line], strict=True))


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "…") if text else "nothing"
