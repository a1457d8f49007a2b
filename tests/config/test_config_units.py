"""Durations and sizes: exact both ways, and refused with a hint."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adpkv.config.units import (
    DURATION_PATTERN,
    SIZE_PATTERN,
    duration_text,
    parse_duration,
    parse_size,
    size_text,
)
from adpkv.core.ids import NEVER


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
        ("999999999999999999h", "is too large"),
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


@given(st.integers(min_value=0, max_value=NEVER - 1))
def test_every_duration_reads_back_as_printed(duration_ns: int) -> None:
    text = duration_text(duration_ns)
    assert parse_duration(text) == duration_ns


@given(st.integers(min_value=0, max_value=10**17))
def test_every_size_reads_back_as_printed(size_bytes: int) -> None:
    text = size_text(size_bytes)
    assert parse_size(text) == size_bytes


@given(st.integers(min_value=0, max_value=10**17))
def test_the_schema_accepts_what_is_printed(number: int) -> None:
    assert re.search(DURATION_PATTERN, duration_text(number))
    assert re.search(SIZE_PATTERN, size_text(number))


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(65536, "64KiB"), (25 * 10**9, "25GB"), (1 << 30, "1GiB"), (1000, "1kB"), (7, "7B")],
)
def test_sizes_are_printed_as_people_write_them(size_bytes: int, text: str) -> None:
    assert size_text(size_bytes) == text


@pytest.mark.parametrize("text", ["600s", "250ms", "20us", "2ns", "0s"])
def test_durations_are_printed_as_people_write_them(text: str) -> None:
    assert duration_text(parse_duration(text)) == text
