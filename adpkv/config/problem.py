"""A problem of an experiment, and how it is told: path, what is wrong, what was found, where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from adpkv.config.document import Key

__all__ = ["ABSENT", "Problem", "dotted", "lookup", "short"]

ABSENT: Final = object()
"""What `lookup` finds where there is nothing; unlike None, no YAML can say it."""

_MOST_SHOWN: Final = 60


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong at `path`; `text` completes the sentence "PATH ..."."""

    path: tuple[Key, ...]
    text: str
    default: object = ABSENT
    """The default that is to blame, where the file says nothing."""


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
    """A value as YAML would show it, never more than a few words of it."""
    if value is None or isinstance(value, bool):
        return str(value).lower().replace("none", "null")
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    try:
        text = repr(value)
    except ValueError:  # Python writes no number of thousands of digits
        return "a number beyond all measure"
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 3]}..."
