"""Random draws keyed by what they are for, not by the order in which they are made.

A draw is a hash of (seed, key). So the 7th request's cancel is the same whether the 6th was drawn
before, after or never, and a run that draws in another order gets the same numbers. The results are
the same on every platform: they are made with BLAKE2b, integers and correctly rounded decimals. The
platform's `libm` is not used, as the last bit of its `log` differs between platforms.
"""

from __future__ import annotations

from decimal import Context, Decimal
from functools import cache
from hashlib import blake2b
from math import floor, frexp
from struct import Struct
from typing import Final

__all__ = ["Draws", "exponential", "integer", "uniform"]

DIGEST_BYTES: Final = 8
BITS: Final = 8 * DIGEST_BYTES
MANTISSA_BITS: Final = 53
"""The mantissa of a double: 53 bits of the digest become a float without rounding."""

DECIMAL_DIGITS: Final = 20
"""More than a double's 17, so that only the final conversion to a double rounds visibly."""

TABLE: Final = 256.0
"""A logarithm is looked up for the nearest lower of so many numbers, from 1 to below 2."""

TABLE_DIGITS: Final = 40

_number: Final = Struct("<Q").unpack

EXACT: Final = 2.0**44
"""Up to 53 times a number of 44 binary places is a double, exactly."""

FIRST_OF_Z: Final = 1.5 * 2.0**18
FIRST_OF_SUM: Final = 1.5 * 2.0**28
"""Added and subtracted again, they leave the first 26 bits of a factor: products of such are exact.
"""

UNSURE: Final = 2.0**-76
"""Three times by how much `_minus_ln` may be wrong, before it rounds."""

UNSURE_DECIMALS: Final = 2.0**-63
"""Twice by which part of it 20 decimal digits may be wrong."""


def uniform(seed: int, *key: int | str) -> float:
    """A number in [0, 1), a multiple of 2**-53."""
    return (_bits(seed, key) >> (BITS - MANTISSA_BITS)) * 2.0**-MANTISSA_BITS


def integer(low: int, high: int, seed: int, *key: int | str) -> int:
    """A whole number in [low, high], both ends included.

    Raises:
        ValueError: the range is empty.
    """
    return _between(low, high, _bits(seed, key))


def exponential(seed: int, *key: int | str) -> float:
    """A number from the exponential distribution with mean 1."""
    return _minus_ln((1 << MANTISSA_BITS) - (_bits(seed, key) >> (BITS - MANTISSA_BITS)))


class Draws:
    """Draws whose keys differ in their last part, a number: `Draws(seed, "gap").exponential(7)` is
    `exponential(seed, "gap", 7)`, in half the time."""

    __slots__ = ("_begun", "_seed", "_what")

    def __init__(self, seed: int, what: str) -> None:
        self._seed, self._what = seed, what
        self._begun = blake2b(f"({seed!r}, ({what!r}, ".encode(), digest_size=DIGEST_BYTES)

    def __reduce__(self) -> tuple[type[Draws], tuple[int, str]]:
        """Copied and pickled as what it is made of: a hash that has begun can be neither."""
        return Draws, (self._seed, self._what)

    def integer(self, low: int, high: int, number: int) -> int:
        """As the function `integer`."""
        return _between(low, high, self._bits(number))

    def exponential(self, number: int) -> float:
        """As the function `exponential`."""
        return _minus_ln((1 << MANTISSA_BITS) - (self._bits(number) >> (BITS - MANTISSA_BITS)))

    def _bits(self, number: int) -> int:
        hashed = self._begun.copy()
        hashed.update(b"%d))" % number)
        bits: int = _number(hashed.digest())[0]
        return bits


def _between(low: int, high: int, bits: int) -> int:
    if high < low:
        raise ValueError(f"no integer in [{low}, {high}]")
    return low + (bits * (high - low + 1) >> BITS)


def _minus_ln(part: int) -> float:
    """-ln(part / 2**53), as `_minus_ln_by_decimals` has it, which takes ten times as long.

    Each number is kept as the sum of two doubles: the logarithm of the nearest lower of 256 numbers
    from a table, and what is left by the series of atanh. The first term of that is exact to twice
    a double's places, for the others one double will do. Where what is left of error, here and in
    20 decimal digits, could lead to another double, the other one decides. Every product that
    matters is exact, so it makes no difference whether a compiler rounds before it adds.
    """
    half, above = frexp(part)
    number = 2.0 * half  # from 1 to below 2
    place = int((number - 1.0) * TABLE)
    near = 1.0 + place / TABLE
    # z = (number - near) / (number + near), as z + z_low
    left, total = number - near, number + near
    total_low = number - (total - near)
    z = left / total
    z_first, total_first = (z + FIRST_OF_Z) - FIRST_OF_Z, (total + FIRST_OF_SUM) - FIRST_OF_SUM
    z_rest, total_rest = z - z_first, (total - total_first) + total_low
    rest = ((left - z_first * total_first) - z_first * total_rest) - z_rest * total_first
    z_low = (rest - z_rest * total_rest) / total
    square = z * z
    others = z * square * (2 / 3 + square * (2 / 5 + square * (2 / 7 + square * (2 / 9))))
    # How often ln(2), less the table's, less 2 * z, each sum with what its rounding leaves
    halvings = MANTISSA_BITS + 1 - above
    (two, two_low), (table, table_low) = _ln_of_table(-1), _ln_of_table(place)
    first = halvings * two
    sum_1 = first - table
    low = (first - sum_1) - table if first > table else first - (sum_1 + table)
    found = sum_1 - 2.0 * z
    low += (sum_1 - found) - 2.0 * z if sum_1 > 2.0 * z else sum_1 - (found + 2.0 * z)
    low += (halvings * two_low - table_low - 2.0 * z_low) - others
    unsure = found * UNSURE_DECIMALS + UNSURE
    rounded = found + (low - unsure)
    return rounded if rounded == found + (low + unsure) else _minus_ln_by_decimals(part)


def _minus_ln_by_decimals(part: int) -> float:
    context = Context(prec=DECIMAL_DIGITS)
    return float(-context.ln(Decimal(part * 2.0**-MANTISSA_BITS)))


@cache
def _ln_of_table(place: int) -> tuple[float, float]:
    """ln(1 + place / 256) as the sum of two doubles; ln(2) for -1, the first of 44 places."""
    context = Context(prec=TABLE_DIGITS)
    number = context.ln(Decimal(2) if place < 0 else Decimal(1 + place / TABLE))
    first = floor(number * Decimal(EXACT)) / EXACT if place < 0 else float(number)
    return first, float(context.subtract(number, Decimal(first)))


def _bits(seed: int, key: tuple[int | str, ...]) -> int:
    # repr distinguishes 1 from "1" and separates the parts; it is the same on every platform.
    bits: int = _number(blake2b(repr((seed, key)).encode(), digest_size=DIGEST_BYTES).digest())[0]
    return bits
