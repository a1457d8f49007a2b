"""What is said of a value that a shipped workload was given by a plugin."""

from __future__ import annotations

from fractions import Fraction

import pytest

from adpkv.errors import BadCallError
from adpkv.workload.given import number, whole

VAST = 10**5000
"""Python does not write it out."""


@pytest.mark.parametrize(
    "value", [10**400, -(10**400), Fraction(10**400), VAST, float("inf"), "9"], ids=range(6)
)
def test_what_no_float_can_be_is_no_number(value: object) -> None:
    """An `OverflowError` of our own frame was told as a bug of adpkv."""
    with pytest.raises(BadCallError, match=r"^rate is .*, not a number$"):
        number("rate", value)


def test_a_number_that_cannot_be_written_out_is_told_by_its_size() -> None:
    with pytest.raises(BadCallError, match="of more than 4300 digits, not a number"):
        number("rate", VAST)
    with pytest.raises(BadCallError, match="of more than 4300 digits, and must be at least 0"):
        whole("total", -VAST)
    with pytest.raises(BadCallError, match="of more than 4300 digits, not an integer"):
        whole("total", Fraction(VAST))


def test_a_fraction_is_a_number() -> None:
    number("rate", Fraction(1, 3), 1, above_0=True)
    number("rate", 10**300)
