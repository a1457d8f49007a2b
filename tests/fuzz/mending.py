"""What is drawn at random becomes a valid experiment, by what `adpkv validate` says of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random
from typing import Any, Final, NamedTuple

from adpkv.config.document import Key
from adpkv.config.validation import validate
from tests.fuzz.schema import ROOT, alternatives, place, variants

__all__ = ["mended"]

ROUNDS: Final = 12
"""Of complaints and mending; what is still wrong then is better drawn anew."""

GENTLE_ROUNDS: Final = 6
"""Those in which half of what is complained about is drawn again. Then all of it is left out."""

Redraw = Callable[[Mapping[str, Any], str], Any]
"""`redraw(node, here)`: something else that the schema's node takes, which is at that place."""


class _Spot(NamedTuple):
    """A key of an experiment, or an index of a list there, which may be missing."""

    holder: Any
    key: Any
    node: Mapping[str, Any]
    """What the schema says of it."""
    here: str
    required: bool

    @property
    def missing(self) -> bool:
        """Is it not given? Then its default is meant."""
        if isinstance(self.holder, list):
            return not self.key < len(self.holder)
        return self.key not in self.holder


def mended(data: dict[str, Any], draw: Random, redraw: Redraw) -> bool:
    """Leave out or draw again what is complained about; whether all is well then."""
    for number in range(ROUNDS):
        _, problems = validate(data)
        if not problems:
            return True
        for problem in problems:
            again = number < GENTLE_ROUNDS and draw.random() < 0.5
            for spot in list(_way(data, problem.path))[-1:]:
                _mend(spot, redraw, again=again)
    return False


def _mend(spot: _Spot, redraw: Redraw, *, again: bool) -> None:
    holder, key = spot.holder, spot.key
    if isinstance(holder, list) and spot.missing:
        return  # it went with another problem
    if again or spot.required or spot.missing:
        holder[key] = redraw(spot.node, spot.here)
    else:
        del holder[key]


def _way(data: Any, path: Sequence[Key]) -> Iterator[_Spot]:
    """Each step to what a path names, as far as there is anything; the last may be missing."""
    holder, node, here = data, ROOT, ""
    for key in path:
        index = isinstance(key, int)
        below = node.get("items") if index else node.get("properties", {}).get(key)
        if below is None or isinstance(holder, list) is not index:
            return
        here = f"{here}[]" if index else place(here, str(key))
        spot = _Spot(holder, key, below, here, key in node.get("required", ()))
        yield spot
        if spot.missing or not isinstance(holder[key], dict | list):
            return
        holder = holder[key]
        if chosen := variants(below):
            here = f"{here}({holder['kind']})"
            node = chosen[holder["kind"]]
        else:
            node = alternatives(below)[0]
