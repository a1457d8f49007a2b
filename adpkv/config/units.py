"""Durations and sizes as people write them, `250ms` and `64KiB`, and as the code needs them.

Both directions are exact: a duration is a whole number of nanoseconds, a size a whole number of
bytes, and what a file is given reads back as the same number. A bare number is refused, because
`60` has been taken for seconds by one reader and for milliseconds by the next too often.
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
"""Minutes and hours are read, never written to a file: `600s` is compared with `60s` at a glance.
"""

_TOLD: Final = (("h", 10 * _DURATIONS["h"]), ("s", SECOND), ("ms", MS), ("us", US), ("ns", 1))
"""(unit, from how many nanoseconds on) as people are told durations."""
_DIGITS: Final = 4
"""Significant ones, of what has more than anybody reads."""
_MOST_DIGITS: Final = 7
"""What was written with no more is told as it was."""

FINEST: Final = 10**6
"""Parts of a nanosecond that a coefficient of the cost model may be a whole number of."""

_LARGEST_SIZE: Final = (1 << 62) - 1


def parse_duration(value: object) -> int:
    """Nanoseconds of `250ms`, `1.5s`, `2m`.

    Raises:
        ValueError: not a duration, not a whole number of nanoseconds, or beyond ten years.
    """
    exact = _duration(value)
    if exact.denominator != 1:
        raise ValueError("is not a whole number of nanoseconds")
    return int(exact)


def parse_fine_duration(value: object) -> Fraction:
    """Nanoseconds and parts of them, exactly: `0.5ns`, `12.5ns`, `20us`.

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
    """Bytes of `64KiB`, `25GB`, `4096B`.

    Raises:
        ValueError: not a size, not a whole number of bytes, or absurdly large.
    """
    exact = _parse(value, "size", _SIZES, "KiB")
    if exact.denominator != 1:
        raise ValueError("is not a whole number of bytes")
    if exact > _LARGEST_SIZE:
        raise ValueError(f"is too large: the most is {_LARGEST_SIZE} bytes")
    return int(exact)


def exact_duration(duration_ns: int | Fraction) -> str:
    """For a file: the duration in its largest whole unit up to seconds, `90s`, `250ms`, and parts
    of a nanosecond as a decimal, `12.5ns`. It reads back as the same number."""
    exact = Fraction(duration_ns)
    if exact.denominator != 1:
        return f"{_decimal(exact)}ns"
    whole = int(exact)
    unit = next(u for u in _WRITTEN if whole % _DURATIONS[u] == 0)
    return f"{whole // _DURATIONS[unit]}{unit}"


def duration_text(duration_ns: int | Fraction) -> str:
    """For people, and to be pasted: as it would be written, `90s`, `1.5s`, `12.5ns`; what has more
    digits than anybody reads is rounded up to four, `about 1001h`, so that who takes it has enough.
    """
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
    """All digits of a fraction that has finitely many, or the first 18."""
    whole, rest = divmod(value, 1)
    if not rest:
        return str(whole)
    return f"{whole}.{int(rest * 10**18):018d}".rstrip("0")


def size_text(size_bytes: int) -> str:
    """The size in the unit that makes it shortest: `64KiB`, `25GB`; binary units first."""
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
