"""One axis of a sweep: which values a setting takes, from texts such as `1s,5s` and `512..4096*2`.

A list has values as the file does. `LOW..HIGH+STEP` and `LOW..HIGH*FACTOR` are all values from LOW
to HIGH by steps. `LOW..HIGH`, or `LOW..HIGH log`, is a span, from which a design draws. Both ends
are of one kind: whole numbers, numbers, durations or sizes. All of this is exact arithmetic, so a
range has the same values everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import Final

import msgspec

from adpkv.config import units
from adpkv.config.document import Malformed, parse_scalar
from adpkv.config.problem import short

__all__ = ["MOST_VALUES", "Axis", "Span", "parse_axis"]

MOST_VALUES: Final = 10_000
"""The most values of one axis."""

DIGITS: Final = 4
"""How many significant digits a value drawn from a span has: the same on every platform, and
readable."""

_NUMBER: Final = r"[-+]?[0-9][0-9.]*(?:[eE][-+]?[0-9]+)?"
_QUANTITY: Final = rf"{_NUMBER}[A-Za-z]*"
_RANGE: Final = re.compile(
    rf"\s*({_QUANTITY})\s*\.\.\s*({_QUANTITY})\s*(?:([+*])\s*({_QUANTITY})|\s(log))?\s*"
)


class _Kind(msgspec.Struct, frozen=True):
    """A kind of quantity: how it is read and written, and what the numbers count."""

    name: str
    read: Callable[[str], Fraction]
    write: Callable[[Fraction], object]
    whole: bool


def _whole(value: Fraction) -> int:
    """The nearest whole number, halves up."""
    return (2 * value.numerator + value.denominator) // (2 * value.denominator)


def _read_int(text: str) -> Fraction:
    return Fraction(int(text))


def _read_float(text: str) -> Fraction:
    return Fraction(text)


def _duration_text(value: Fraction) -> str:
    """As people write it, `3.981ms`, if that is exact."""
    found = units.duration_text(_whole(value))
    return found if found[0].isdigit() else units.exact_duration(_whole(value))


def _read_size(text: str) -> Fraction:
    return Fraction(units.parse_size(text))


_INT: Final = _Kind("whole number", _read_int, write=_whole, whole=True)
_FLOAT: Final = _Kind("number", _read_float, float, whole=False)
_DURATION: Final = _Kind("duration", units.parse_fine_duration, _duration_text, whole=True)
_SIZE: Final = _Kind("size", _read_size, lambda v: units.size_text(_whole(v)), whole=True)
_KINDS: Final = (_INT, _FLOAT, _DURATION, _SIZE)


class Span(msgspec.Struct, frozen=True):
    """All values between two ends, both included; `log`: drawn evenly by ratio, not by
    difference."""

    low: Fraction
    high: Fraction
    kind: _Kind
    log: bool = False

    def at(self, share: float) -> object:
        """The value at a share in [0, 1) of the way, with four significant digits."""
        if self.log:
            exact = Fraction(float(self.low) * float(self.high / self.low) ** share)
        elif self.kind is _INT:
            return int(self.low) + int(Fraction(share) * (self.high - self.low + 1))
        else:
            exact = self.low + (self.high - self.low) * Fraction(share)
        return self.value(exact)

    def value(self, exact: Fraction) -> object:
        """An exact number as a value of this span, rounded, and never beyond its ends."""
        return self.kind.write(min(max(_rounded(exact), self.low), self.high))


class Axis(msgspec.Struct, frozen=True):
    """A setting, by its path, and its values or the span that they are drawn from."""

    path: str
    values: tuple[object, ...] = ()
    """Empty for a span."""
    span: Span | None = None

    def at(self, share: float) -> object:
        """The value at a share in [0, 1) of the axis."""
        if self.span is not None:
            return self.span.at(share)
        return self.values[int(share * len(self.values))]


def parse_axis(path: str, given: object) -> Axis:
    """The axis of a text, as on the command line, or of a list or a text in a file.

    Raises:
        ValueError: it has no value, too many, or a range that makes no sense.
    """
    entries = _entries(given)
    if not entries:
        raise ValueError("has no value")
    ranges = [_RANGE.fullmatch(one) if isinstance(one, str) else None for one in entries]
    if len(entries) == 1 and ranges[0] is not None and not ranges[0][3]:
        return Axis(path, span=_span(ranges[0]))
    values: list[object] = []
    for entry, found in zip(entries, ranges, strict=True):
        values += [entry] if found is None else _stepped(found)
        if len(values) > MOST_VALUES:
            raise ValueError(f"has more than {MOST_VALUES:,} values")
    repeated = next((v for at, v in enumerate(values) if _among(v, values[:at])), None)
    if repeated is not None:
        raise ValueError(f"has the value {short(repeated)} twice")
    return Axis(path, tuple(values))


def _entries(given: object) -> list[object]:
    if isinstance(given, list | tuple):
        return list(given)
    if isinstance(given, str):
        try:
            found = parse_scalar(f"[{given}]")
        except Malformed as error:
            raise ValueError(f"the values are not YAML: {error.text}") from None
        if isinstance(found, list):
            return found
    if isinstance(given, Mapping):
        raise ValueError("must be a list of values, or a range such as 512..4096*2")
    return [given]


def _among(value: object, others: list[object]) -> bool:
    return any(type(one) is type(value) and one == value for one in others)


def _ends(found: re.Match[str]) -> tuple[_Kind, Fraction, Fraction]:
    for kind in _KINDS:
        try:
            low, high = kind.read(found[1]), kind.read(found[2])
        except ValueError:
            continue
        if low >= high:
            raise ValueError(f"{found[0].strip()}: begins at or above its end")
        return kind, low, high
    raise ValueError(
        f"{found[0].strip()}: both ends must be numbers, durations (250ms), or sizes (64KiB)"
    )


def _span(found: re.Match[str]) -> Span:
    kind, low, high = _ends(found)
    if found[5] and low <= 0:
        raise ValueError(f"{found[0].strip()}: a span by ratio begins above 0")
    return Span(low, high, kind, log=bool(found[5]))


def _stepped(found: re.Match[str]) -> list[object]:
    kind, low, high = _ends(found)
    how, step = found[3], found[4]
    if not how:
        raise ValueError(f"{found[0].strip()}: needs a step among other values: +1 or *2")
    try:
        by = _FLOAT.read(step) if how == "*" else kind.read(step)
    except ValueError:
        wanted = "a number" if how == "*" else f"a {kind.name}"
        raise ValueError(f"{found[0].strip()}: the step must be {wanted}") from None
    if (how == "*" and (by <= 1 or low <= 0)) or (how == "+" and by <= 0):
        raise ValueError(
            f"{found[0].strip()}: never gets there: "
            + ("a factor above 1 and a beginning above 0 do" if how == "*" else "step upwards")
        )
    return list(_steps(kind, low, high, how, by))


def _steps(kind: _Kind, low: Fraction, high: Fraction, how: str, by: Fraction) -> Iterator[object]:
    at, before, count = low, None, 0
    while at <= high:
        value = kind.write(at)
        if value != before:
            count += 1
            if count > MOST_VALUES:
                raise ValueError(f"has more than {MOST_VALUES:,} values")
            yield value
        before = value
        at = at + by if how == "+" else at * by
        if how == "*":
            at = at.limit_denominator(10**12)


def _rounded(value: Fraction) -> Fraction:
    """With so many significant digits as `DIGITS`."""
    return Fraction(f"{float(value):.{DIGITS}g}")
