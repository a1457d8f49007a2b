"""Valid experiments over the whole schema, one per seed.

In the manner of swarm testing each seed leaves much out: it draws how many of the keys it gives,
how often at an end of what is allowed, how many faults there are, of how many kinds, and whether a
historical policy rules. What the sections must be to each other is not known here: an experiment is
drawn, what `adpkv validate` complains about is drawn again or left out, and so until it is content.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from adpkv.config.fault_kinds import KINDS
from tests.fuzz.mending import mended
from tests.fuzz.schema import ROOT, alternatives, is_optional, place, variants
from tests.fuzz.values import value

__all__ = ["Swarm", "experiment", "swarm"]

ATTEMPTS: Final = 100
"""Each with fewer keys than the one before."""

OFTEN: Final = {"faults": 1.0, "policy": 1.0, "workload(trace).limit": 0.99}
"""Chances that do not depend on the swarm: it has a word of its own on these, or all else is long.
"""


@dataclass(frozen=True, slots=True)
class Swarm:
    """What the experiments of one seed are like: chances, and numbers."""

    given: float = 0.4
    """That a key that may be left out is given."""
    extreme: float = 0.05
    """That a value is at an end."""
    faults: int = 2
    kinds: tuple[str, ...] = tuple(KINDS)
    policies: float = 0.0
    """That a question of policy is answered as in history."""
    rare: float = 0.03
    """That a section is given that a run does not look at."""


def swarm(draw: Random) -> Swarm:
    """One of many kinds of experiment."""
    kinds = draw.sample(sorted(KINDS), draw.choice((1, 2, 3, 6, len(KINDS))))
    return Swarm(
        given=draw.choice((0.1, 0.3, 0.5, 0.8, 1.0)),
        extreme=draw.choice((0.0, 0.0, 0.02, 0.1, 0.3)),
        faults=draw.choice((0, 0, 1, 1, 2, 3, 6)),
        kinds=tuple(kinds),
        policies=draw.choice((0.0,) * 8 + (0.1, 0.5)),
    )


def experiment(seed: int, kind: Swarm | None = None) -> dict[str, Any]:
    """The experiment of a seed, as `adpkv.config.parse` takes it."""
    for attempt in range(ATTEMPTS):
        draw = Random(f"fuzz {seed} {attempt}")
        drawn = swarm(draw) if kind is None else kind
        less = 0.7**attempt
        drawing = _Drawing(draw, drawn, less)
        data = drawing.section(ROOT, "") | {"seed": seed}
        if mended(data, draw, drawing.any):
            return data
    raise AssertionError(f"no experiment of seed {seed} is valid")


class _Drawing:
    """Draws what a node of the schema takes."""

    def __init__(self, draw: Random, kind: Swarm, less: float) -> None:
        self.draw, self.kind, self._less = draw, kind, less

    def section(self, node: Mapping[str, Any], above: str) -> dict[str, Any]:
        """Some of its keys, and those that are required."""
        found = {}
        for key, one in node["properties"].items():
            here = place(above, key)
            if not is_optional(node, key) or self.draw.random() < self._chance(here):
                found[key] = self.any(one, here)
        return found

    def _chance(self, here: str) -> float:
        if here in OFTEN:
            return OFTEN[here]
        if here == "regression":
            return self.kind.rare
        if here.startswith("policy."):
            return self.kind.policies
        return self.kind.given * self._less

    def any(self, node: Mapping[str, Any], here: str) -> Any:
        """Whatever belongs there."""
        if found := variants(node):
            name = self.draw.choice(sorted(found))
            return self.section(found[name], f"{here}({name})")
        one = self.draw.choice(alternatives(node))
        if one.get("type") == "array":
            count = self.kind.faults if here == "faults" else self.draw.choice((1, 1, 2, 3))
            return [self.any(one["items"], f"{here}[]") for _ in range(count)]
        if here == "faults[]":
            return self._fault(one)
        if "properties" in one:
            return self.section(one, here)
        extreme = self.draw.random() < self.kind.extreme * self._less
        return value(self.draw, here, one, extreme)

    def _fault(self, node: Mapping[str, Any]) -> dict[str, Any]:
        """One that mostly makes sense: the rest is mended."""
        name = self.draw.choice(self.kind.kinds)
        kind = KINDS[name]
        fault = self.section(node, "faults[]") | {"kind": name}
        useful = {"ranks", "probability", "count", "after", "before", kind.needs, *kind.takes}
        if not kind.at_an_instant:
            useful |= {"peers", "requests"}
        fault = {key: one for key, one in fault.items() if key in useful or key == "kind"}
        if kind.phases and self.draw.random() < 0.5:
            fault["phase"] = self.draw.choice(kind.phases)
        if kind.needs:
            fault[kind.needs] = self.any(node["properties"][kind.needs], f"faults[].{kind.needs}")
        return fault
