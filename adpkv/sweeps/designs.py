"""Which points a sweep has: every combination of its axes, or points drawn from them.

Pure functions. What is drawn is keyed by the experiment's seed, the axis and the point, so that the
same sweep has the same points everywhere, and more points leave the first ones of a random design
as they were.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from adpkv.config.axes import Axis
from adpkv.errors import UsageError
from adpkv.random_draws import uniform

__all__ = ["MOST_POINTS", "Settings", "count_of", "designed", "grouped"]

MOST_POINTS: Final = 100_000
"""The most points of a sweep."""

TRIES: Final = 20
"""How often a point that is there already is drawn anew, on average."""

Settings = Mapping[str, object]
"""What a point has other than its experiment: values by path."""

Group = tuple[Axis, ...]
"""Axes that go together: one dimension."""


def grouped(axes: Sequence[Axis], zipped: Sequence[Sequence[str]]) -> list[Group]:
    """The dimensions: each axis by itself, but for those that are zipped.

    Raises:
        UsageError: a name is no axis or in two groups, or axes of a group have different lengths.
    """
    by_path = {axis.path: axis for axis in axes}
    groups: dict[str, Group] = {}
    for names in zipped:
        unknown = next((name for name in names if name not in by_path), None)
        if unknown is not None:
            raise UsageError(f"zip: {unknown!r} is no axis; those are {', '.join(by_path)}")
        if len(names) == 1:
            raise UsageError(f"zip: {names[0]!r} goes with no other axis: name two or more")
        group = tuple(by_path[name] for name in names)
        for name in names:
            if name in groups:
                raise UsageError(f"zip: {name!r} is named twice")
            groups[name] = group
        lengths = {len(by_path[name].values) for name in names}
        if len(lengths) > 1:
            told = ", ".join(f"{name} has {_length(by_path[name])}" for name in names)
            raise UsageError(f"zip: axes that go together need as many values each: {told}")
    # A group stands where its first axis does.
    return [
        groups.get(axis.path, (axis,))
        for axis in axes
        if axis.path not in groups or groups[axis.path][0] is axis
    ]


def _length(axis: Axis) -> str:
    return "a span" if axis.span is not None else str(len(axis.values))


def designed(groups: Sequence[Group], design: str, points: int | None, seed: int) -> list[Settings]:
    """The points of a design, in order, each once.

    Raises:
        UsageError: the design needs a number of points, has too many, or steps.
    """
    if design == "grid":
        return _grid(groups, points)
    if points is None:
        raise UsageError(f"a {design} design needs to know how many points: --points")
    if points > MOST_POINTS:
        raise UsageError(f"{points:,} points are too many: the most is {MOST_POINTS:,}")
    drawn = _random(groups, seed) if design == "random" else _latin(groups, points, seed)
    found: dict[str, Settings] = {}
    for settings in itertools.islice(drawn, points * TRIES):
        found.setdefault(json.dumps(settings, sort_keys=True, default=str), settings)
        if len(found) == points:
            break
    return list(found.values())


def count_of(groups: Sequence[Group]) -> float:
    """How many combinations there are; without end where there is a span."""
    if any(axis.span is not None for group in groups for axis in group):
        return math.inf
    return math.prod(len(group[0].values) for group in groups)


def _grid(groups: Sequence[Group], points: int | None) -> list[Settings]:
    spans = [axis.path for group in groups for axis in group if axis.span is not None]
    if spans:
        raise UsageError(
            f"{spans[0]}: a grid needs steps (LOW..HIGH+STEP, LOW..HIGH*FACTOR); a random or a "
            "latin design draws from a span"
        )
    count = count_of(groups)
    if count > MOST_POINTS:
        raise UsageError(f"the grid has {count:,} points; the most is {MOST_POINTS:,}")
    if points is not None and points != count:
        raise UsageError(f"the grid has {count:,} points, not {points:,}: leave --points out")
    places = itertools.product(*(range(len(group[0].values)) for group in groups))
    return [
        {axis.path: axis.values[at] for group, at in zip(groups, point, strict=True)
         for axis in group}
        for point in places
    ]  # fmt: skip


def _random(groups: Sequence[Group], seed: int) -> Iterator[Settings]:
    for number in itertools.count():
        yield {
            axis.path: axis.at(uniform(seed, "sweep", group[0].path, number))
            for group in groups
            for axis in group
        }


def _latin(groups: Sequence[Group], points: int, seed: int) -> Iterator[Settings]:
    """Latin hypercube: each dimension is cut into as many strata as there are points, and each
    stratum is drawn from once."""
    orders = [_shuffled(points, seed, group[0].path) for group in groups]
    for number in range(points):
        found: dict[str, object] = {}
        for group, order in zip(groups, orders, strict=True):
            within = uniform(seed, "sweep within", group[0].path, number)
            share = min((order[number] + within) / points, math.nextafter(1.0, 0.0))
            found |= {axis.path: axis.at(share) for axis in group}
        yield found


def _shuffled(count: int, seed: int, path: str) -> list[int]:
    return sorted(range(count), key=lambda at: (uniform(seed, "sweep order", path, at), at))
