"""The numbers of blocks as objects that all pools share.

A simulated job has thousands of pools, whose lists hold millions of block numbers. A number made
anew is an object of its own, and a line of memory to be read; shared, all of them stay in the
processor's caches.
"""

from __future__ import annotations

from typing import Final

__all__ = ["MOST_SHARED", "block_numbers"]

MOST_SHARED: Final = 1 << 18
"""How many numbers are kept, in 10 MB: pools with more blocks than that have their own of the rest.
"""

_SHARED: Final[list[list[int]]] = [[]]
"""One list: all numbers from 0 to the highest that anybody has asked for, and some more.

Simulations may run in several threads. So a longer list takes its place, and the list itself never
changes: two threads that made it longer at once would both add the same numbers.
"""


def block_numbers(first: int, end: int) -> list[int]:
    """The numbers from `first` on, before `end`, in a new list."""
    numbers = _SHARED[0]
    if end > len(numbers):
        numbers = _more(numbers, end)
        if end > len(numbers):
            return [*numbers[first:], *range(max(first, len(numbers)), end)]
    return numbers[first:end]


def _more(numbers: list[int], end: int) -> list[int]:
    known = len(numbers)
    if known < MOST_SHARED:
        numbers = [*numbers, *range(known, min(max(end, 2 * known), MOST_SHARED))]
        _SHARED[0] = numbers
    return numbers
