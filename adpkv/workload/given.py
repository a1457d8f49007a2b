"""Checks what a shipped workload is made of and called with.

An experiment's own values are checked when it is read. A plugin that wraps a shipped workload gives
it its own, and what is wrong with them came up deep inside: as a bug of adpkv, though the plugin
was to blame. What these raise is told as the plugin's (`adpkv.plugins.is_ours`).
"""

from __future__ import annotations

import sys
from math import isfinite
from numbers import Rational, Real

from adpkv.errors import BadCallError
from adpkv.plugins.foreign import as_index

__all__ = ["NoneDueError", "having", "number", "whole"]


class NoneDueError(BadCallError, IndexError):
    """`take` was called while `due_ns` is `NEVER`."""


def whole(name: str, value: object, least: int | None = 0) -> None:
    """Check an integer; `name` is whose and which.

    Raises:
        BadCallError: it is none, or less than `least`.
    """
    found = as_index(value)
    if found is None:
        raise BadCallError(f"{name} is {_shown(value)}, not an integer")
    if least is not None and found < least:
        raise BadCallError(f"{name} is {_shown(found)}, and must be at least {least}")


def number(name: str, value: object, most: float | None = None, *, above_0: bool = False) -> None:
    """Check a number of 0 or more, or above 0, and at most `most`.

    Raises:
        BadCallError: it is none.
    """
    found = _finite(value)
    if found is None:
        raise BadCallError(f"{name} is {_shown(value)}, not a number")
    if found < 0 or (above_0 and not found) or (most is not None and found > most):
        least = "above 0" if above_0 else "at least 0"
        top = f" and at most {most:g}" if most is not None else ""
        raise BadCallError(f"{name} is {found:g}, and must be {least}{top}")


def having(name: str, value: object, *methods: str) -> None:
    """Check that an object has these methods.

    Raises:
        BadCallError: it lacks one.
    """
    missing = [one for one in methods if not callable(getattr(value, one, None))]
    if missing:
        raise BadCallError(f"{name} is {_shown(value)}, which has no {', '.join(missing)}")


def _finite(value: object) -> float | None:
    if not isinstance(value, Real) or isinstance(value, bool):
        return None
    try:
        found = float(value)
    except OverflowError:  # 10**400
        return None
    return found if isfinite(found) else None


def _shown(value: object) -> str:
    try:
        return f"{value!r:.80}"
    except ValueError:  # Python writes out no integer of more than some thousand digits
        if not isinstance(value, Rational):
            raise
        return f"of more than {sys.get_int_max_str_digits()} digits"
