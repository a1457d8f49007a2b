"""What a program gives as a value becomes what a file can say.

Programs have numbers and arrays of NumPy, enums, ranges, tuples and paths. As they are, some would
be refused (`np.int64(4)` as no whole number), and others taken and then not written to
`config.yaml`.
"""

from __future__ import annotations

import operator
import os
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from adpkv.errors import UsageError

__all__ = ["plain"]

MOST_DEPTH: Final = 100
"""Deeper than any experiment: what is, holds itself."""

MOST_WHOLE: Final = 1e30
"""More than any number of an experiment: `Decimal("1e999999999")` would fill the memory."""


def plain(value: Any) -> Any:
    """Mappings, lists, texts and Python's own numbers, as far as there is one for it. What has
    none stays as it is, and is refused by its key's check.

    Raises:
        UsageError: it holds itself.
    """
    return _plain(value, MOST_DEPTH)


def _plain(value: Any, depth: int) -> Any:
    if value is None or type(value) in (bool, int, float, str):
        return value
    if depth == 0:
        raise UsageError(
            f"a value is nested more than {MOST_DEPTH} deep, or holds itself: no file can say that"
        )
    if isinstance(value, Mapping):
        return {_key(key): _plain(one, depth - 1) for key, one in value.items()}
    if isinstance(value, list | tuple | range):
        return [_plain(one, depth - 1) for one in value]
    if isinstance(value, str):
        return str.__str__(value)  # not what an enum calls itself
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, type):
        return value
    if hasattr(value, "tolist"):  # NumPy's scalars and arrays, pandas' columns
        return _plain(value.tolist(), depth - 1)
    if hasattr(value, "__index__"):
        return operator.index(value)
    return _number(value) if hasattr(value, "__float__") else value


def _key(key: Any) -> Any:
    return str.__str__(key) if isinstance(key, str) else key


def _number(value: Any) -> Any:
    """As a whole number where it is one, exactly."""
    try:
        near = float(value)
    except (TypeError, ValueError, OverflowError):
        return value
    if not isinstance(value, Decimal | Fraction) or not abs(near) < MOST_WHOLE:
        return near
    whole = int(value)
    return whole if whole == value else near
