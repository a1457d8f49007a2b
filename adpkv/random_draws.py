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
from typing import Final

__all__ = ["exponential", "integer", "uniform"]

DIGEST_BYTES: Final = 8
BITS: Final = 8 * DIGEST_BYTES
MANTISSA_BITS: Final = 53
"""The mantissa of a double: 53 bits of the digest become a float without rounding."""

DECIMAL_DIGITS: Final = 20
"""More than a double's 17, so that only the final conversion to a double rounds visibly."""

POINT: Final = 104
"""Binary places of the fixed point in which logarithms are computed."""

TABLE_BITS: Final = 8
TABLE_DIGITS: Final = 40

LEAST_BITS: Final = 24
"""A logarithm below 2**-24 has too few places left."""

SURE_BITS: Final = 62
"""The leading bits of a logarithm that are right in decimals, and here too."""


def uniform(seed: int, *key: int | str) -> float:
    """A number in [0, 1), a multiple of 2**-53."""
    return (_bits(seed, key) >> (BITS - MANTISSA_BITS)) * 2.0**-MANTISSA_BITS


def integer(low: int, high: int, seed: int, *key: int | str) -> int:
    """A whole number in [low, high], both ends included.

    Raises:
        ValueError: the range is empty.
    """
    if high < low:
        raise ValueError(f"no integer in [{low}, {high}]")
    return low + (_bits(seed, key) * (high - low + 1) >> BITS)


def exponential(seed: int, *key: int | str) -> float:
    """A number from the exponential distribution with mean 1."""
    return _minus_ln((1 << MANTISSA_BITS) - (_bits(seed, key) >> (BITS - MANTISSA_BITS)))


def _minus_ln(part: int) -> float:
    """-ln(part / 2**53), as `_minus_ln_by_decimals` has it, which takes ten times as long.

    In fixed point: the logarithm of the nearest lower of 256 numbers from a table, and what is left
    by the series of atanh. Where that is too near to the middle of two doubles to tell which is
    right, or too small, the other one decides.
    """
    above = part.bit_length() - 1
    number = part << (POINT - above)  # from 1 to below 2
    place = (number >> (POINT - TABLE_BITS)) - (1 << TABLE_BITS)
    near = ((1 << TABLE_BITS) + place) << (POINT - TABLE_BITS)
    z = ((number - near) << POINT) // (number + near)
    square = z * z >> POINT
    power, total = z, z
    for divisor in (3, 5, 7, 9, 11):
        power = power * square >> POINT
        total += power // divisor
    found = (MANTISSA_BITS - above) * _ln_of_table(-1) - _ln_of_table(place) - 2 * total
    bits = found.bit_length()
    if bits < POINT - LEAST_BITS:
        return _minus_ln_by_decimals(part)
    below = bits - MANTISSA_BITS - 1
    from_middle = (found & ((1 << below + 1) - 1)) - (1 << below)
    if abs(from_middle) >> (bits - SURE_BITS) == 0:
        return _minus_ln_by_decimals(part)
    return found / (1 << POINT)


def _minus_ln_by_decimals(part: int) -> float:
    context = Context(prec=DECIMAL_DIGITS)
    return float(-context.ln(Decimal(part * 2.0**-MANTISSA_BITS)))


@cache
def _ln_of_table(place: int) -> int:
    """ln(1 + place / 256) in fixed point; ln(2) for -1."""
    context = Context(prec=TABLE_DIGITS)
    number = Decimal(2) if place < 0 else Decimal(1 + place / (1 << TABLE_BITS))
    return int(context.multiply(context.ln(number), Decimal(1 << POINT)))


_UNFED: Final = blake2b(digest_size=DIGEST_BYTES)
"""To copy it takes a third of the time of making another one."""


def _bits(seed: int, key: tuple[int | str, ...]) -> int:
    # repr distinguishes 1 from "1" and separates the parts; it is the same on every platform. Most
    # keys have two parts: put together here, their text takes a fifth of the time.
    pair = len(key) == 2
    text = f"({seed!r}, ({key[0]!r}, {key[1]!r}))" if pair else repr((seed, key))
    hashed = _UNFED.copy()
    hashed.update(text.encode())
    return int.from_bytes(hashed.digest(), "little")
