"""Draws from a seed: as fast as arithmetic, and the same on every platform.

`adpkv.random_draws` keys each draw by what it is for; a hash costs it two microseconds. An
exploration draws some hundred numbers for each seed, so it has a mixer of integers instead
(SplitMix64's; Steele, Lea, Flood, OOPSLA 2014).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

__all__ = ["MASK", "MIX_1", "MIX_2", "Dice", "mixed"]

T = TypeVar("T")

MASK: Final = (1 << 64) - 1
MIX_1: Final = 0xBF58476D1CE4E5B9
MIX_2: Final = 0x94D049BB133111EB
_GOLDEN: Final = 0x9E3779B97F4A7C15


def mixed(number: int) -> int:
    """A number of 64 bits that looks like chance; it depends on every bit of `number`."""
    number &= MASK
    number = (number ^ (number >> 30)) * MIX_1 & MASK
    number = (number ^ (number >> 27)) * MIX_2 & MASK
    return number ^ (number >> 31)


class Dice:
    """A sequence of draws."""

    __slots__ = ("_state",)

    def __init__(self, seed: int, *key: int) -> None:
        state = mixed(seed + _GOLDEN)
        for part in key:
            state = mixed(state ^ mixed(part + _GOLDEN))
        self._state = state

    def below(self, end: int) -> int:
        """A number from 0 to `end` - 1."""
        state = self._state = (self._state + _GOLDEN) & MASK
        # `mixed`, without a call: a seed draws a hundred numbers.
        number = (state ^ (state >> 30)) * MIX_1 & MASK
        number = (number ^ (number >> 27)) * MIX_2 & MASK
        return (number ^ (number >> 31)) * end >> 64

    def between(self, low: int, high: int) -> int:
        """A number from `low` to `high`, both included."""
        return low + self.below(high - low + 1)

    def chance(self, times: int, of: int) -> bool:
        """True in so many cases of so many."""
        return self.below(of) < times

    def choice(self, options: Sequence[T]) -> T:
        """One of them."""
        return options[self.below(len(options))]

    def some(self, options: Sequence[T], count: int) -> list[T]:
        """So many different ones, in a drawn order."""
        left = list(options)
        return [left.pop(self.below(len(left))) for _ in range(min(count, len(left)))]
