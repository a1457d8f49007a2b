"""What a sweep looks for, and what it must keep: `max goodput`, `error_rate < 0.01`.

Read from texts and checked against the figures that a run has, before anything runs.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from adpkv.config import Experiment, units
from adpkv.errors import UsageError
from adpkv.sweeps.figures import SHARES, Cell, column_for, known_figures
from adpkv.sweeps.result import SweepPoint

__all__ = ["Constraint", "Goal", "Objective", "parse_goal"]

_OBJECTIVE: Final = re.compile(r"\s*(max|min)\s+(\S+)\s*")
_CONSTRAINT: Final = re.compile(r"\s*(\S+?)\s*(<=|>=|==|<|>)\s*(\S+)\s*")
_HOLDS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
}
_OF_SLO: Final = ("rates.goodput_per_s", "rates.slo_attainment")


@dataclass(frozen=True, slots=True)
class Objective:
    """One figure, as large or as small as possible."""

    text: str
    column: str
    largest: bool

    def better(self, one: float, other: float) -> bool:
        """Is the one better than the other?"""
        return one > other if self.largest else one < other


@dataclass(frozen=True, slots=True)
class Constraint:
    """A bound on a figure."""

    text: str
    column: str
    sense: str
    bound: float

    def holds(self, value: float | None) -> bool:
        """Is the bound kept? Not where there is no figure."""
        return value is not None and _HOLDS[self.sense](value, self.bound)

    def excess(self, value: float) -> float:
        """How far beyond the bound it is, relative to that; 0 or less where it is kept."""
        gap = value - self.bound
        if self.sense == "==":
            gap = abs(gap)
        elif self.sense.startswith(">"):
            gap = -gap
        return gap / (abs(self.bound) or 1.0)


@dataclass(frozen=True, slots=True)
class Goal:
    """Objectives and constraints together."""

    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...]

    def values(self, point: SweepPoint) -> list[float] | None:
        """The objectives of a point, means over its seeds; None if some has no value."""
        found = [point.mean(one.column) for one in self.objectives]
        sound = [value for value in found if value is not None]
        return sound if len(sound) == len(found) else None

    def keeps(self, point: SweepPoint) -> bool:
        """Did every run of it complete, and are all bounds kept by the means?"""
        return all(run.ok for run in point.runs) and all(
            one.holds(point.mean(one.column)) for one in self.constraints
        )

    def excesses(self, point: SweepPoint) -> list[float]:
        """For each bound how far it is exceeded, and the share of runs that did not complete."""
        means = [(one, point.mean(one.column)) for one in self.constraints]
        failed = sum(not run.ok for run in point.runs) / len(point.runs)
        return [*(1.0 if mean is None else one.excess(mean) for one, mean in means), failed]

    def dominates(self, one: Sequence[float], other: Sequence[float]) -> bool:
        """Is the one nowhere worse, and better in something?"""
        pairs = list(zip(self.objectives, one, other, strict=True))
        return not any(goal.better(b, a) for goal, a, b in pairs) and any(
            goal.better(a, b) for goal, a, b in pairs
        )


def parse_goal(
    objectives: Sequence[str], constraints: Sequence[str], experiment: Experiment
) -> Goal:
    """The goal that the texts say, for runs of an experiment like this one.

    Raises:
        UsageError: a text cannot be read, or what it names is no figure of such a run.
    """
    known = known_figures(experiment)
    return Goal(
        tuple(_objective(text, known, experiment) for text in objectives),
        tuple(_constraint(text, known, experiment) for text in constraints),
    )


def _objective(text: str, known: Mapping[str, Cell], experiment: Experiment) -> Objective:
    found = _OBJECTIVE.fullmatch(text)
    if found is None:
        raise UsageError(f"{text!r} is no objective: write max FIGURE or min FIGURE")
    column = _column(text, found[2], known, experiment)
    return Objective(f"{found[1]} {found[2]}", column, found[1] == "max")


def _constraint(text: str, known: Mapping[str, Cell], experiment: Experiment) -> Constraint:
    found = _CONSTRAINT.fullmatch(text)
    if found is None:
        raise UsageError(f"{text!r} is no constraint: write one such as 'error_rate < 0.01'")
    name, sense, bound = found.groups()
    column = _column(text, name, known, experiment)
    return Constraint(f"{name} {sense} {bound}", column, sense, _bound(text, column, bound))


def _column(text: str, name: str, known: Mapping[str, Cell], experiment: Experiment) -> str:
    try:
        column = column_for(name, known)
    except UsageError as error:
        raise UsageError(f"{text!r}: {error}") from None
    if isinstance(known[column], str):
        raise UsageError(f"{text!r}: {column} is no number")
    if column in _OF_SLO and experiment.slo is None:
        raise UsageError(
            f"{text!r}: there is none without an objective for requests: set slo, such as "
            "--set 'slo={ttft: 2s, tpot: 50ms}'"
        )
    return column


def _bound(text: str, column: str, bound: str) -> float:
    """A number, a share in per cent, or a duration where the figure is one."""
    try:
        percent = bound.endswith("%") and column.endswith(SHARES)
        value = float(bound[:-1]) / 100 if percent else float(bound)
        if math.isfinite(value):
            return value
    except ValueError:
        pass
    try:
        if column.startswith("latency.") or column.endswith("_s"):
            return float(units.parse_fine_duration(bound)) / units.SECOND
        return float(units.parse_size(bound))
    except ValueError:
        raise UsageError(f"{text!r}: {bound} is no bound for {column}") from None
