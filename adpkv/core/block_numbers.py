"""The numbers of blocks as objects that all pools share.

A simulated job has thousands of pools, whose lists hold millions of block numbers. A number made
anew is an object of its own, and a line of memory to be read; shared, all of them stay in the
processor's caches.
"""

from __future__ import annotations

from typing import Final

__all__ = ["block_numbers"]

_NUMBERS: Final[list[int]] = []
"""All numbers from 0 to the highest that anybody has asked for, and some more."""


def block_numbers(first: int, end: int) -> list[int]:
    """The numbers from `first` on, before `end`, in a new list."""
    known = len(_NUMBERS)
    if end > known:
        _NUMBERS.extend(range(known, max(end, 2 * known)))
    return _NUMBERS[first:end]
