"""What a caller of the library gives, as Python's own values; a wrong one is a `UsageError`."""

from __future__ import annotations

from numbers import Real
from typing import Final

from adpkv.errors import UsageError
from adpkv.plugins.foreign import as_index

__all__ = ["as_callable", "as_seconds", "as_whole"]

MOST_WAIT_S: Final = 2**31 / 1000
"""Twenty-five days: the system waits no longer for a process."""


def as_whole(name: str, value: object) -> int | None:
    """A whole number, or None for None. Those of numpy are numbers too, and True is none.

    Raises:
        UsageError: it is no whole number.
    """
    found = as_index(value)
    if value is not None and found is None:
        raise UsageError(f"{name} {value!r}: must be a whole number")
    return found


def as_seconds(name: str, value: object) -> float | None:
    """A limit in seconds; None where there is none, or one that is longer than anybody waits.

    Raises:
        UsageError: it is no number of seconds, or none above 0.
    """
    if value is None:
        return None
    if not isinstance(value, Real) or isinstance(value, bool):
        raise UsageError(f"{name} {value!r}: must be a number of seconds")
    try:
        seconds = float(value)
    except OverflowError:  # a whole number may have any length
        return None
    if not seconds > 0:
        raise UsageError(f"{name} {value}: must be above 0")
    return seconds if seconds < MOST_WAIT_S else None


def as_callable(name: str, value: object) -> None:
    """Check that it is None or can be called.

    Raises:
        UsageError: it is neither.
    """
    if value is not None and not callable(value):
        raise UsageError(f"{name} {value!r}: must be what can be called")
