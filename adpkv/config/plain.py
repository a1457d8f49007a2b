"""What a program gives as a value becomes what a file can say.

Programs have numbers and arrays of NumPy, ranges, tuples and paths. As they are, some would be
refused (`np.int64(4)` as no whole number), and others taken and then not written to `config.yaml`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

__all__ = ["plain"]


def plain(value: Any) -> Any:
    """Mappings, lists, texts and Python's own numbers, as far as there is one for it. What has
    none stays as it is, and is refused by its key's check."""
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, Mapping):
        return {plain(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple | range):
        return [plain(one) for one in value]
    if isinstance(value, str):
        return str(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, type):
        return value
    if hasattr(value, "tolist"):  # NumPy's scalars and arrays, pandas' columns
        return plain(value.tolist())
    return float(value) if hasattr(value, "__float__") else value
