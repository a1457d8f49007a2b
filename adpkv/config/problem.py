"""A problem of an experiment, and helpers to describe it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from adpkv.config.document import Key

__all__ = ["ABSENT", "Problem", "dotted", "lookup", "short"]

ABSENT: Final = object()
"""What `lookup` returns if there is no value. Unlike None, it is no value of any YAML."""

_MOST_SHOWN: Final = 60


class Problem(msgspec.Struct, frozen=True):
    """Something wrong at `path`; `text` continues the sentence "PATH ..."."""

    path: tuple[Key, ...]
    text: str
    default: object = ABSENT
    """The default value that is wrong, if the file does not have the key."""


def dotted(path: Sequence[Key]) -> str:
    """The path as `--set` takes it: `faults.0.kind`."""
    return ".".join(str(key) for key in path)


def lookup(data: object, path: Sequence[Key]) -> object:
    """The value at `path`, or `ABSENT`."""
    for key in path:
        if isinstance(key, int):
            fits = isinstance(data, list | tuple) and key < len(data)
            data = data[key] if fits else ABSENT  # type: ignore[index]
        else:
            data = data.get(key, ABSENT) if isinstance(data, Mapping) else ABSENT
    return data


def short(value: object) -> str:
    """A short text of a value, as in YAML; "a mapping" or "a list" for these."""
    if value is None or isinstance(value, bool):
        return str(value).lower().replace("none", "null")
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    try:
        text = repr(value)
    except ValueError:  # Python refuses to print integers of thousands of digits
        return "a number beyond all measure"
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 3]}..."
