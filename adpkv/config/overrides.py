"""Replaces values of an experiment: `--set a.b=c` of the command line, `set=` of the library.

On the command line the value is YAML (`4`, `60s`, `{min: 1, max: 2}`), as in the file. A path may
have indices of lists (`faults.0.count=2`), and may lead to a key that is not in the file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from adpkv.config.core_schema import MOST_DEEP, can_be_written
from adpkv.config.document import Key, Malformed, parse_scalar
from adpkv.config.problem import dotted, short

__all__ = ["Overridden", "apply"]

MOST_SHOWN: Final = 100
"""How many characters of an override a message repeats."""

INDEX_DIGITS: Final = 9
"""The most digits of a list index. Python's `int` refuses texts of thousands of digits."""

WHOLE: Final[Mapping[tuple[Key, ...], str]] = {
    ("faults",): "[{kind: stall, duration: 2s}]",
    ("workload", "requests"): "[{at: 0s, prompt_tokens: 64, output_tokens: 4}]",
}
"""Examples of whole lists of sections, by path, for error messages."""


class Overridden(msgspec.Struct):
    """The data with all overrides applied, the paths they set, and errors of those that failed."""

    data: object
    paths: list[tuple[Key, ...]] = msgspec.field(default_factory=list)
    complaints: list[str] = msgspec.field(default_factory=list)
    by: str = "--set"
    """How the caller has given them, for messages."""

    def sets(self, path: Sequence[Key]) -> bool:
        """Whether an override set the value at `path`, or a section or list around it."""
        return any(tuple(path[: len(own)]) == own for own in self.paths)


def apply(data: object, overrides: Sequence[str] | Mapping[str, object]) -> Overridden:
    """Apply overrides in order; a later one wins. `data` itself is not changed.

    Args:
        data: an experiment's plain values.
        overrides: `path=value` texts with values in YAML, or a mapping from paths to values.
    """
    result = Overridden(data, by="set" if isinstance(overrides, Mapping) else "--set")
    for text in overrides:
        try:
            if isinstance(overrides, Mapping):
                path, value = _path(text), overrides[text]
            else:
                path, value = _split(text)
            result.data = _replaced(result.data, path, value, ())
        except ValueError as error:
            shown = f"{text}"
            shown = shown if len(shown) <= MOST_SHOWN else f"{shown[:MOST_SHOWN]}..."
            result.complaints.append(f"{result.by} {shown}: {error}")
        else:
            result.paths.append(path)
    return result


def _split(text: str) -> tuple[tuple[Key, ...], object]:
    if not can_be_written(text):
        raise ValueError("is not UTF-8")
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError("must look like section.key=value")
    path = _path(name)
    try:
        return path, parse_scalar(value)
    except Malformed as error:
        raise ValueError(f"the value is not YAML: {error.text}") from None


def _path(name: object) -> tuple[Key, ...]:
    if not isinstance(name, str):
        raise ValueError("must be text like section.key")
    if not can_be_written(name):
        raise ValueError("is not UTF-8")
    steps = name.strip().split(".")
    if not all(steps):
        raise ValueError("must look like section.key=value")
    if len(steps) > MOST_DEEP:
        raise ValueError(f"leads {len(steps)} steps deep; nothing is more than {MOST_DEEP} deep")
    return tuple(map(_step, steps))


def _step(text: str) -> Key:
    is_index = text.isdecimal() and text.isascii() and len(text) <= INDEX_DIGITS
    return int(text) if is_index else text


def _replaced(data: object, path: Sequence[Key], value: object, above: tuple[Key, ...]) -> object:
    """`data` with `value` at `path`. Only what is along the path is copied; the original is not
    changed, as other places may share it by YAML aliases."""
    if not path:
        return value
    key, rest = path[0], path[1:]
    here = (*above, key)
    if data is None:
        data = [] if isinstance(key, int) else {}
    if isinstance(data, list | tuple):  # as in a file, or as an experiment has them
        if not isinstance(key, int) or key >= len(data):
            raise ValueError(_no_entry(data, above, key))
        return [_replaced(v, rest, value, here) if i == key else v for i, v in enumerate(data)]
    if not isinstance(data, dict) or isinstance(key, int):
        raise ValueError(_not_inside(data, above, key))
    return data | {key: _replaced(data.get(key), rest, value, here)}


def _no_entry(data: Sequence[object], above: tuple[Key, ...], key: Key) -> str:
    """An error text: why a list has no entry `key`, and what to write instead."""
    name = dotted(above)
    if not data:
        whole = WHOLE.get(above, "[...]")
        return f"{name} is an empty list: give all of it, such as --set '{name}={whole}'"
    entries = f"{name}.0" if len(data) == 1 else f"{name}.0 to {name}.{len(data) - 1}"
    return f"{name} is a list of {len(data)}, there is no {key!r} in it: name {entries}"


def _not_inside(data: object, above: tuple[Key, ...], key: Key) -> str:
    """An error text: why `data` has nothing at `key`."""
    name = dotted(above) or "an experiment"
    if isinstance(data, dict):
        known = f": its keys are {', '.join(map(str, data))}" if data else ""
        return f"{name} is a mapping, not a list: there is no {key!r} in it{known}"
    return f"{name} is {short(data)}, there is no {key!r} in it"
