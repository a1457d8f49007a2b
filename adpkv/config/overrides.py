"""`--set a.b=c`: one value of an experiment replaced from the command line.

The value is YAML (`4`, `60s`, `{min: 1, max: 2}`), so it means what it would mean in the file.
A path may lead into a list by index (`faults.0.count=2`), and may name what the file leaves out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from adpkv.config.document import Key, Malformed, parse_scalar
from adpkv.config.problem import dotted, short

__all__ = ["Overridden", "apply"]


@dataclass(slots=True)
class Overridden:
    """The data with all overrides in it, which paths they set, and those that could not be."""

    data: object
    paths: list[tuple[Key, ...]] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def sets(self, path: Sequence[Key]) -> bool:
        """Did an override set the value at `path`, or something that it is part of?"""
        return any(tuple(path[: len(own)]) == own for own in self.paths)


def apply(data: object, overrides: Sequence[str]) -> Overridden:
    """Apply `overrides` in order; the later one wins. `data` itself stays as it is."""
    result = Overridden(data)
    for text in overrides:
        try:
            path, value = _split(text)
            result.data = _replaced(result.data, path, value, ())
        except ValueError as error:
            result.complaints.append(f"--set {text}: {error}")
        else:
            result.paths.append(path)
    return result


def _split(text: str) -> tuple[tuple[Key, ...], object]:
    name, equals, value = text.partition("=")
    steps = name.strip().split(".")
    if not equals or not all(steps):
        raise ValueError("must look like section.key=value")
    try:
        parsed = parse_scalar(value)
    except Malformed as error:
        raise ValueError(f"the value is not YAML: {error.text}") from None
    return tuple(int(s) if s.isdecimal() and s.isascii() else s for s in steps), parsed


def _replaced(data: object, path: Sequence[Key], value: object, above: tuple[Key, ...]) -> object:
    """A copy of `data` along `path` only: what YAML aliases share must not change elsewhere."""
    if not path:
        return value
    key, rest = path[0], path[1:]
    here = (*above, key)
    if isinstance(data, list):
        if not isinstance(key, int) or key >= len(data):
            raise ValueError(f"{dotted(above)} is a list of {len(data)}, there is no {key!r} in it")
        return [_replaced(v, rest, value, here) if i == key else v for i, v in enumerate(data)]
    if data is None:
        data = {}
    if not isinstance(data, dict) or isinstance(key, int):
        raise ValueError(f"{dotted(above)} is {short(data)}, there is no {key!r} in it")
    return data | {key: _replaced(data.get(key), rest, value, here)}
