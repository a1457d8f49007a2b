"""Durations and sizes: texts such as `250ms` and `64KiB` to numbers, and back.

Both directions are exact. A duration is a whole number of nanoseconds, a size is a whole number of
bytes, and a number that is written to a file is read back as the same. A number without a unit is
refused, because `60` may mean seconds or milliseconds.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final

from adpkv.core.ids import LAST_NS

__all__ = [
    "DURATION_PATTERN",
    "MS",
    "SECOND",
    "SIZE_PATTERN",
    "US",
    "duration_text",
    "exact_duration",
    "parse_duration",
    "parse_fine_duration",
    "parse_size",
    "size_text",
]

US: Final = 1_000
MS: Final = 1_000_000
SECOND: Final = 1_000_000_000

_DURATIONS: Final = {
    "h": 3600 * SECOND,
    "m": 60 * SECOND,
    "s": SECOND,
    "ms": MS,
    "us": US,
    "ns": 1,
}
_SIZES: Final = {
    "TiB": 1 << 40,
    "GiB": 1 << 30,
    "MiB": 1 << 20,
    "KiB": 1 << 10,
    "TB": 10**12,
    "GB": 10**9,
    "MB": 10**6,
    "kB": 10**3,
    "B": 1,
}
_NUMBER: Final = r"[0-9]{1,19}(?:\.[0-9]{1,18})?"
DURATION_PATTERN: Final = rf"^{_NUMBER}(?:{'|'.join(_DURATIONS)})$"
SIZE_PATTERN: Final = rf"^{_NUMBER}(?:{'|'.join(_SIZES)})$"
_SPLIT: Final = re.compile(rf"({_NUMBER}) ?([A-Za-z]*)")
_WRITTEN: Final = ("s", "ms", "us", "ns")
"""The units that are written to a file. Minutes and hours are only read: `600s` is easier to
compare with `60s` than `10m`."""

_TOLD: Final = (("h", 10 * _DURATIONS["h"]), ("s", SECOND), ("ms", MS), ("us", US), ("ns", 1))
"""(unit, from how many nanoseconds on it is used) in texts for people."""
_DIGITS: Final = 4
"""How many significant digits a rounded duration has in texts for people."""
_MOST_DIGITS: Final = 7
"""A duration with no more significant digits is not rounded in texts for people."""

FINEST: Final = 10**6
"""A coefficient of the cost model is a multiple of this fraction of a nanosecond."""

_LARGEST_SIZE: Final = (1 << 62) - 1


def parse_duration(value: object) -> int:
    """The nanoseconds of a text such as `250ms`, `1.5s` or `2m`.

    Raises:
        ValueError: not a duration, not a whole number of nanoseconds, or beyond ten years.
    """
    exact = _duration(value)
    if exact.denominator != 1:
        raise ValueError("is not a whole number of nanoseconds")
    return int(exact)


def parse_fine_duration(value: object) -> Fraction:
    """The nanoseconds of a text such as `0.5ns`, `12.5ns` or `20us`, as an exact fraction.

    Raises:
        ValueError: not a duration, finer than the millionth of a nanosecond, or beyond ten years.
    """
    exact = _duration(value)
    if FINEST % exact.denominator:
        raise ValueError(
            f"is finer than {exact_duration(Fraction(1, FINEST))}, the finest there is"
        )
    return exact


def _duration(value: object) -> Fraction:
    exact = _parse(value, "duration", _DURATIONS, "s")
    if exact > LAST_NS:
        raise ValueError(f"is too long: the longest is {duration_text(LAST_NS)}, ten years")
    return exact


def parse_size(value: object) -> int:
    """The bytes of a text such as `64KiB`, `25GB` or `4096B`.

    Raises:
        ValueError: not a size, not a whole number of bytes, or more than 2**62 - 1.
    """
    exact = _parse(value, "size", _SIZES, "KiB")
    if exact.denominator != 1:
        raise ValueError("is not a whole number of bytes")
    if exact > _LARGEST_SIZE:
        raise ValueError(f"is too large: the most is {_LARGEST_SIZE} bytes")
    return int(exact)


def exact_duration(duration_ns: int | Fraction) -> str:
    """A duration as a text for a file: in the largest unit up to seconds that gives a whole number
    (`90s`, `250ms`), or as a decimal number of nanoseconds (`12.5ns`). It is read back the same."""
    exact = Fraction(duration_ns)
    if exact.denominator != 1:
        return f"{_decimal(exact)}ns"
    whole = int(exact)
    unit = next(u for u in _WRITTEN if whole % _DURATIONS[u] == 0)
    return f"{whole // _DURATIONS[unit]}{unit}"


def duration_text(duration_ns: int | Fraction) -> str:
    """A duration as a text for people: `90s`, `1.5s`, `12.5ns`, which may be pasted into a file.
    One with many digits is rounded to four, `about 1001h`: up, so that it is enough as a limit."""
    exact = Fraction(duration_ns)
    unit = next((unit for unit, least in _TOLD if exact >= least), "ns" if exact else "s")
    for written in (unit, "s") if unit == "h" else (unit,):
        text = _decimal(exact / _DURATIONS[written])
        if len(text.lstrip("0.").replace(".", "")) <= _MOST_DIGITS:
            return f"{text}{written}"
    value = exact / _DURATIONS[unit]
    digits = len(str(int(value))) if value >= 1 else 0
    step = Fraction(10) ** max(digits - _DIGITS, -_DIGITS)
    return f"about {_decimal(-(-value // step) * step)}{unit}"


def _decimal(value: Fraction) -> str:
    """A fraction as a decimal number, with at most 18 digits after the point."""
    whole, rest = divmod(value, 1)
    if not rest:
        return str(whole)
    return f"{whole}.{int(rest * 10**18):018d}".rstrip("0")


def size_text(size_bytes: int) -> str:
    """A size as a text in the unit with the fewest digits: `64KiB`, `25GB`. Of two equal ones, the
    binary unit."""
    if size_bytes == 0:
        return "0B"
    exact = [f"{size_bytes // s}{u}" for u, s in _SIZES.items() if size_bytes % s == 0]
    return min(exact, key=lambda text: sum(c.isdigit() for c in text))


def _parse(value: object, noun: str, units: dict[str, int], usual: str) -> Fraction:
    examples = ", ".join(units)
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f"needs a unit: write {value}{usual} (units: {examples})")
    if not isinstance(value, str):
        raise ValueError(f"must be a {noun} such as 60{usual} (units: {examples})")
    found = _SPLIT.fullmatch(value)
    if found is None:
        raise ValueError(f"must be a {noun} such as 60{usual} (units: {examples})")
    number, unit = found.groups()
    if not unit:
        raise ValueError(f"needs a unit: write {number}{usual} (units: {examples})")
    if unit not in units or " " in value:
        near = next((u for u in units if u.lower() == unit.lower()), None)
        hint = f": write {number}{near}" if near else f" (units: {examples})"
        raise ValueError(f"is not a {noun}{hint}")
    return Fraction(number) * units[unit]
