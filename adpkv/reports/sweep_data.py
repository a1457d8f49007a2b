"""What a report needs of a sweep: each point with its settings and the means of its figures."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from adpkv.errors import UsageError
from adpkv.sweeps.figures import flat, short_name
from adpkv.sweeps.folder import SweepFolder
from adpkv.sweeps.objectives import Goal, parse_goal
from adpkv.sweeps.plan import Plan, value_text
from adpkv.sweeps.result import Sweep, of_folder
from adpkv.sweeps.row import numeric

__all__ = ["Axis", "Figure", "PointRow", "SweepData", "number_of", "of_sweep", "read_sweep"]

CANDIDATES: Final = (
    "rates.goodput_per_s",
    "rates.slo_attainment",
    "rates.error_rate",
    "latency.ttft_s.p50",
    "latency.ttft_s.p99",
    "latency.tpot_s.p50",
    "latency.tpot_s.p99",
    "latency.itl_s.p99",
    "latency.e2e_s.p50",
    "latency.e2e_s.p99",
    "latency.kv_transfer_s.p99",
    "rates.requests_per_s",
    "rates.output_tokens_per_s",
    "rates.prefix_hit_rate",
    "rates.received_hit_rate",
    "requests.completed",
    "transfers.quarantined_peak",
    "health.unhealthy_intervals",
)
"""Figures that can be chosen, where they differ between points; those of the goal come first."""

LARGER_IS_BETTER: Final = frozenset(
    {
        "rates.goodput_per_s",
        "rates.slo_attainment",
        "rates.requests_per_s",
        "rates.output_tokens_per_s",
        "rates.prefix_hit_rate",
        "rates.received_hit_rate",
        "requests.completed",
    }
)

TEXT_VALUES: Final = 12
"""An axis with so few values has them side by side, as they were given."""

SHARES: Final = ("error_rate", "slo_attainment", "hit_rate", "_share")


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of runs. `title` has its unit."""

    column: str
    short: str
    title: str
    form: str
    """How d3 writes a value of it."""
    larger_is_better: bool

    @property
    def of_axis(self) -> dict[str, str]:
        """How an axis has its values: with as many digits as tell them apart."""
        return {"format": "%"} if self.form.endswith("%") else {}


@dataclass(frozen=True, slots=True)
class Axis:
    """A varied setting. `values` are its different values as texts, in order; `unit` that of the
    number behind a value, empty where it has none."""

    path: str
    values: tuple[str, ...]
    has_numbers: bool
    unit: str
    drawn: bool = False
    """Whether its values were drawn from a span: what lies between them is a matter of chance."""

    @property
    def is_text(self) -> bool:
        """Whether its values stand side by side, instead of on a scale."""
        few = len(self.values) <= TEXT_VALUES and not self.drawn
        return few or not self.has_numbers

    @property
    def is_joined(self) -> bool:
        """Whether a line from one value to the next says something: not between words, and not
        between points that were drawn, which differ in all axes."""
        return self.is_text and self.has_numbers

    @property
    def short(self) -> str:
        """The last part of its path."""
        return self.path.rpartition(".")[2].replace("_", " ")


@dataclass(frozen=True, slots=True)
class PointRow:
    """One point: the settings as texts and numbers, and for each figure (mean, least, most) over
    its seeds."""

    number: int
    texts: tuple[str, ...]
    numbers: tuple[float | None, ...]
    figures: Mapping[str, tuple[float, float, float]]
    runs: int
    failed: int
    keeps: bool
    """Whether every run completed and the bounds of the goal are kept."""


@dataclass(frozen=True, slots=True)
class SweepData:
    """A sweep."""

    sweep: Sweep
    axes: tuple[Axis, ...]
    points: tuple[PointRow, ...]
    figures: tuple[Figure, ...]
    goal: Goal | None
    plan: Plan | None


def read_sweep(path: Path) -> SweepData:
    """A sweep from its folder, also one that goes on.

    Raises:
        UsageError: it is no sweep's, or no run of it has ended with figures.
    """
    folder = SweepFolder.read(path)
    return of_sweep(of_folder(folder), folder.plan)


def of_sweep(sweep: Sweep, plan: Plan | None = None) -> SweepData:
    """A sweep that is there as a result; its goal is that of the plan.

    Raises:
        UsageError: no run of it has ended with figures.
    """
    where = sweep.folder or sweep.name
    if not sweep.runs:
        raise UsageError(f"{where}: no run of this sweep has ended yet: there is nothing to report")
    if not any(run.summary is not None for run in sweep.runs):
        first = sweep.runs[0]
        why = first.error.partition("\n")[0] or first.outcome
        raise UsageError(
            f"{where}: no run of this sweep has figures; the first of {len(sweep.runs)}: {why}"
        )
    goal = None
    if plan is not None and plan.config.optimize:
        goal = parse_goal(plan.config.optimize, plan.config.subject_to, plan.sample)
    spans = {axis.path for axis in plan.axes if axis.span is not None} if plan else set()
    axes = tuple(_axis(path, sweep, path in spans) for path in sweep.axes)
    wanted = [] if goal is None else [one.column for one in goal.objectives]
    wanted += [] if goal is None else [one.column for one in goal.constraints]
    columns = list(dict.fromkeys([*wanted, *CANDIDATES]))
    points = tuple(_points(sweep, columns, goal))
    figures = tuple(
        _figure(column, goal) for column in columns if column in wanted or _differs(points, column)
    )
    return SweepData(sweep, axes, points, figures, goal, plan)


def _axis(path: str, sweep: Sweep, of_span: bool) -> Axis:
    values = {value_text(run.settings[path]): number_of(run.settings[path]) for run in sweep.runs}
    has_numbers = all(number is not None for number, _ in values.values())
    ordered = list(values)
    if has_numbers:
        ordered.sort(key=lambda text: values[text][0] or 0.0)
    units = {unit for _, unit in values.values()}
    # Of a span with few whole numbers in it, points share values as those of a list do.
    drawn = of_span and 2 * len(values) > len(sweep.points)
    return Axis(path, tuple(ordered), has_numbers, units.pop() if len(units) == 1 else "", drawn)


def number_of(value: object) -> tuple[float | None, str]:
    """The number behind a value, and its unit."""
    if isinstance(value, bool) or value is None:
        return None, ""
    if isinstance(value, int | float):
        return float(value), ""
    for unit, number in numeric(value).items():
        return float(number), unit.strip("_")
    return None, ""


def _points(sweep: Sweep, columns: Sequence[str], goal: Goal | None) -> list[PointRow]:
    found = []
    for point in sweep.points:
        summed = [flat(run.summary) for run in point.runs if run.summary is not None]
        figures = {}
        for column in columns:
            values = [one.get(column) for one in summed]
            sound = [
                float(value)
                for value in values
                if isinstance(value, int | float) and not isinstance(value, bool)
            ]
            if sound:
                figures[column] = (statistics.fmean(sound), min(sound), max(sound))
        failed = sum(not run.ok for run in point.runs)
        settings = [point.settings[path] for path in sweep.axes]
        found.append(
            PointRow(
                point.number,
                tuple(map(value_text, settings)),
                tuple(number_of(value)[0] for value in settings),
                figures,
                len(point.runs),
                failed,
                keeps=not failed if goal is None else goal.keeps(point),
            )
        )
    return found


def _differs(points: Sequence[PointRow], column: str) -> bool:
    means = {point.figures[column][0] for point in points if column in point.figures}
    return len(means) > 1 or (len(points) == 1 and bool(means))


def _figure(column: str, goal: Goal | None) -> Figure:
    short = short_name(column)
    said = short.replace("_", " ")
    larger = column in LARGER_IS_BETTER
    for objective in () if goal is None else goal.objectives:
        if objective.column == column:
            larger = objective.largest
    if column.endswith(SHARES):
        return Figure(column, short, f"{said} (share)", ".2~%", larger)
    if column.startswith("latency."):
        return Figure(column, short, f"{said} (s)", ".4~g", larger)
    if column.endswith("_per_s"):
        return Figure(column, short, f"{said} per second", ".4~g", larger)
    return Figure(column, short, said, ".4~g", larger)
