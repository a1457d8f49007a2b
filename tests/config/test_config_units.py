"""Durations and sizes: exact both ways, and refused with a hint."""

import re
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adpkv.config.units import (
    DURATION_PATTERN,
    SIZE_PATTERN,
    duration_text,
    exact_duration,
    parse_duration,
    parse_fine_duration,
    parse_size,
    size_text,
)
from adpkv.core.ids import LAST_NS


@pytest.mark.parametrize(
    ("text", "duration_ns"),
    [
        ("5ns", 5),
        ("10us", 10_000),
        ("250ms", 250_000_000),
        ("60s", 60_000_000_000),
        ("1.5s", 1_500_000_000),
        ("2m", 120_000_000_000),
        ("1h", 3_600_000_000_000),
        ("0s", 0),
        ("0.000000001s", 1),
    ],
)
def test_durations_are_read_exactly(text: str, duration_ns: int) -> None:
    assert parse_duration(text) == duration_ns


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("4096B", 4096),
        ("64KiB", 65536),
        ("1GiB", 1 << 30),
        ("25GB", 25 * 10**9),
        ("0.5KiB", 512),
        ("3kB", 3000),
    ],
)
def test_sizes_are_read_exactly(text: str, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (60, "needs a unit: write 60s"),
        (1.5, "needs a unit: write 1.5s"),
        ("60", "needs a unit: write 60s"),
        ("60 s", "write 60s"),
        ("60S", "write 60s"),
        ("60 parsecs", "is not a duration"),
        ("0.5ns", "is not a whole number of nanoseconds"),
        ("-1s", "must be a duration such as 60s"),
        ("soon", "must be a duration such as 60s"),
        ("1s 5ms", "must be a duration such as 60s"),
        ("999999999999999999h", "is too long: the longest is 87600h, ten years"),
        (True, "must be a duration such as 60s"),
        (None, "must be a duration such as 60s"),
        (["1s"], "must be a duration such as 60s"),
    ],
)
def test_what_is_no_duration_is_refused_with_a_hint(value: object, hint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(hint)):
        parse_duration(value)


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (4096, "needs a unit: write 4096KiB"),
        ("64kib", "write 64KiB"),
        ("0.1B", "is not a whole number of bytes"),
        ("64s", "is not a size"),
    ],
)
def test_what_is_no_size_is_refused_with_a_hint(value: object, hint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(hint)):
        parse_size(value)


@given(st.integers(min_value=0, max_value=LAST_NS))
def test_every_duration_reads_back_as_printed(duration_ns: int) -> None:
    text = exact_duration(duration_ns)
    assert parse_duration(text) == duration_ns


@given(st.integers(min_value=0, max_value=LAST_NS * 10**6))
def test_every_part_of_a_nanosecond_reads_back_as_printed(millionths: int) -> None:
    fine = Fraction(millionths, 10**6)
    assert parse_fine_duration(exact_duration(fine)) == fine


@pytest.mark.parametrize(
    ("text", "fine_ns"),
    [
        ("0.5ns", Fraction(1, 2)),
        ("12.5ns", Fraction(25, 2)),
        ("0.0001us", Fraction(1, 10)),
        ("20us", Fraction(20_000)),
    ],
)
def test_costs_are_read_with_their_fractions(text: str, fine_ns: Fraction) -> None:
    assert parse_fine_duration(text) == fine_ns


def test_a_cost_finer_than_the_finest_is_refused() -> None:
    with pytest.raises(ValueError, match=r"is finer than 0\.000001ns, the finest there is"):
        parse_fine_duration("0.0000001ns")


@given(st.integers(min_value=0, max_value=LAST_NS))
def test_what_people_are_told_is_enough_short_and_near(duration_ns: int) -> None:
    text = duration_text(duration_ns)
    assert len(text) <= len("about 1234567ms")
    told = parse_fine_duration(text.removeprefix("about "))
    assert duration_ns <= told <= duration_ns * Fraction(1001, 1000)


@pytest.mark.parametrize(
    ("duration_ns", "text"),
    [
        (3_600_000_174_812_160, "about 1001h"),
        (1_500_000_000, "1.5s"),
        (600_000_000_000, "600s"),
        (LAST_NS, "87600h"),
        (Fraction(25, 2), "12.5ns"),
        (0, "0s"),
    ],
)
def test_durations_are_told_in_the_unit_that_one_reads(
    duration_ns: int | Fraction, text: str
) -> None:
    assert duration_text(duration_ns) == text


@given(st.integers(min_value=0, max_value=10**17))
def test_every_size_reads_back_as_printed(size_bytes: int) -> None:
    text = size_text(size_bytes)
    assert parse_size(text) == size_bytes


@given(st.integers(min_value=0, max_value=10**17))
def test_the_schema_accepts_what_is_printed(number: int) -> None:
    assert re.search(DURATION_PATTERN, exact_duration(number))
    assert re.search(DURATION_PATTERN, exact_duration(Fraction(number, 10**6)))
    assert re.search(SIZE_PATTERN, size_text(number))


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(65536, "64KiB"), (25 * 10**9, "25GB"), (1 << 30, "1GiB"), (1000, "1kB"), (7, "7B")],
)
def test_sizes_are_printed_as_people_write_them(size_bytes: int, text: str) -> None:
    assert size_text(size_bytes) == text


@pytest.mark.parametrize("text", ["600s", "250ms", "20us", "2ns", "0s"])
def test_durations_are_printed_as_people_write_them(text: str) -> None:
    assert exact_duration(parse_duration(text)) == text
