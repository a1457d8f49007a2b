"""A smaller experiment with the same trouble: what is not needed for it is left out, key by key."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any, Final

from adpkv.config.validation import validate

__all__ = ["shrunk"]

MOST_TRIES: Final = 200

Path = tuple[str | int, ...]


def shrunk(data: dict[str, Any], wrong: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The least of it with which something is still `wrong`, within so many tries."""
    tries = 0
    progress = True
    while progress:
        progress = False
        for path in sorted(_paths(data, ()), key=len):
            smaller = _without(data, path)
            if smaller is None or validate(smaller)[0] is None:
                continue
            tries += 1
            if tries > MOST_TRIES:
                return data
            if wrong(smaller):
                data, progress = smaller, True
    return data


def _paths(data: Any, above: Path) -> Iterator[Path]:
    """Everything that could be left out; the last of a list first, so that the rest keep their
    numbers."""
    pairs = list(data.items()) if isinstance(data, dict) else list(enumerate(data))
    for key, value in reversed(pairs):
        yield (*above, key)
        if isinstance(value, dict | list):
            yield from _paths(value, (*above, key))


def _without(data: dict[str, Any], path: Path) -> dict[str, Any] | None:
    """A copy without what is there; None if it is gone already."""
    found: Any = copy.deepcopy(data)
    at = found
    try:
        for key in path[:-1]:
            at = at[key]
        del at[path[-1]]
    except (KeyError, IndexError, TypeError):
        return None
    whole: dict[str, Any] = found
    return whole
