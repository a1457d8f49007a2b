"""Random draws keyed by what they are for, not by the order in which they are made.

A draw is a hash of (seed, key). So the 7th request's cancel is the same whether the 6th was drawn
before, after or never, and a run that draws in another order gets the same numbers. The results are
the same on every platform: they are made with BLAKE2b, integers and correctly rounded decimals. The
platform's `libm` is not used, as the last bit of its `log` differs between platforms.
"""

from __future__ import annotations

from decimal import Context, Decimal
from hashlib import blake2b
from typing import Final

__all__ = ["exponential", "integer", "uniform"]

DIGEST_BYTES: Final = 8
BITS: Final = 8 * DIGEST_BYTES
MANTISSA_BITS: Final = 53
"""The mantissa of a double: 53 bits of the digest become a float without rounding."""

DECIMAL_DIGITS: Final = 20
"""More than a double's 17, so that only the final conversion to a double rounds visibly."""


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
    context = Context(prec=DECIMAL_DIGITS)
    return float(-context.ln(Decimal(1.0 - uniform(seed, *key))))


def _bits(seed: int, key: tuple[int | str, ...]) -> int:
    # repr distinguishes 1 from "1" and separates the parts; it is the same on every platform.
    digest = blake2b(repr((seed, key)).encode(), digest_size=DIGEST_BYTES).digest()
    return int.from_bytes(digest, "little")
