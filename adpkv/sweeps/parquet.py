"""The table of a sweep as Parquet, column by column.

pyarrow imports pandas, where that is installed, as soon as it is handed a list of Python's: 0.7 s,
for nothing. So columns are put together from buffers.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from adpkv.sweeps.figures import Cell

__all__ = ["parquet_writer", "write_parquet"]

LEAST, MOST = -(1 << 63), (1 << 63) - 1
"""The smallest and the largest whole number of a column of whole numbers."""


def parquet_writer() -> Any:
    """What writes Parquet; None where pyarrow is not installed."""
    try:
        return import_module("pyarrow.parquet")
    except ImportError:
        return None


def write_parquet(path: Path, rows: Sequence[Mapping[str, Cell]]) -> None:
    """Write rows, all with the same keys. A column of values of several types is one of text."""
    pyarrow = import_module("pyarrow")
    columns = [_column(pyarrow, [row[name] for row in rows]) for name in rows[0]]
    table = pyarrow.Table.from_arrays(columns, names=list(rows[0]))
    parquet_writer().write_table(table, path)


def _column(pyarrow: Any, cells: Sequence[Cell]) -> Any:
    kinds = {type(cell) for cell in cells if cell is not None}
    if not kinds:
        return pyarrow.nulls(len(cells))
    if kinds == {bool}:
        return _made(pyarrow, pyarrow.bool_(), cells, _bits(cells))
    if kinds <= {int, float}:
        numbers = [cell or 0 for cell in cells]
        if float not in kinds:
            if all(LEAST <= int(number) <= MOST for number in numbers):
                return _made(pyarrow, pyarrow.int64(), cells, array("q", map(int, numbers)))
        else:
            with suppress(OverflowError):  # a whole number that no float is near to: text
                return _made(pyarrow, pyarrow.float64(), cells, array("d", map(float, numbers)))
    strings = pyarrow.lib.StringBuilder()
    strings.append_values([None if cell is None else str(cell) for cell in cells])
    return strings.finish()


def _made(pyarrow: Any, kind: Any, cells: Sequence[Cell], values: Any) -> Any:
    there = pyarrow.py_buffer(_bits([cell is not None for cell in cells]))
    return pyarrow.Array.from_buffers(kind, len(cells), [there, pyarrow.py_buffer(values)])


def _bits(flags: Sequence[Cell]) -> bytes:
    """A bit for each, the first one lowest."""
    bits = bytearray(-(-len(flags) // 8))
    for place, flag in enumerate(flags):
        if flag:
            bits[place >> 3] |= 1 << (place & 7)
    return bytes(bits)
