"""Durations and sizes as people write them, `250ms` and `64KiB`, and as the code needs them.

Both directions are exact: a duration is a whole number of nanoseconds, a size a whole number of
bytes, and what is printed reads back as the same number. A bare number is refused, because `60`
has been taken for seconds by one reader and for milliseconds by the next too often.
"""

from __future__ import annotations

import re
from typing import Final

from adpkv.core.ids import NEVER

__all__ = [
    "DURATION_PATTERN",
    "MS",
    "SECOND",
    "SIZE_PATTERN",
    "US",
    "duration_text",
    "parse_duration",
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
"""Minutes and hours are read, never written: `600s` is compared with `60s` at a glance."""


def parse_duration(value: object) -> int:
    """Nanoseconds of `250ms`, `1.5s`, `2m`.

    Raises:
        ValueError: not a duration, not a whole number of nanoseconds, or beyond 146 years.
    """
    return _parse(value, "duration", _DURATIONS, "s", "nanosecond")


def parse_size(value: object) -> int:
    """Bytes of `64KiB`, `25GB`, `4096B`.

    Raises:
        ValueError: not a size, not a whole number of bytes, or absurdly large.
    """
    return _parse(value, "size", _SIZES, "KiB", "byte")


def duration_text(duration_ns: int) -> str:
    """The duration in its largest whole unit up to seconds: `90s`, `250ms`."""
    unit = next(u for u in _WRITTEN if duration_ns % _DURATIONS[u] == 0)
    return f"{duration_ns // _DURATIONS[unit]}{unit}"


def size_text(size_bytes: int) -> str:
    """The size in the unit that makes it shortest: `64KiB`, `25GB`; binary units first."""
    if size_bytes == 0:
        return "0B"
    exact = [f"{size_bytes // s}{u}" for u, s in _SIZES.items() if size_bytes % s == 0]
    return min(exact, key=lambda text: sum(c.isdigit() for c in text))


def _parse(value: object, noun: str, units: dict[str, int], usual: str, grain: str) -> int:
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
    whole, _, part = number.partition(".")
    scale: int = 10 ** len(part)
    exact, rest = divmod(int(whole + part) * units[unit], scale)
    if rest:
        raise ValueError(f"is not a whole number of {grain}s")
    if exact >= NEVER:
        raise ValueError(f"is too large: the most is {NEVER - 1} {grain}s")
    return exact
