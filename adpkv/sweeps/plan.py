"""A sweep before it runs: its points, each of them a checked experiment.

Everything that is wrong is said here, before the first point runs: a path that is no key, a value
of the wrong type, settings that do not go together, a trace that cannot be read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from adpkv.config import Experiment
from adpkv.config.axes import Axis, parse_axis
from adpkv.config.loading import load_data
from adpkv.config.sweep import SweepConfig
from adpkv.config.workload import TraceConfig
from adpkv.counting import counted
from adpkv.errors import ConfigError, UsageError
from adpkv.sweeps.designs import MOST_POINTS, Settings, count_of, designed, grouped
from adpkv.workload import build
from adpkv.worlds.select_ports import check

__all__ = [
    "Plan",
    "Point",
    "World",
    "check_points",
    "make_plan",
    "settings_text",
    "value_text",
    "with_sweep",
]

World = Literal["virtual", "mpi"]

TRIALS: Final = 64
"""How many points a search tries unless told."""

_FOUND: Final = re.compile(r" \(found (.*), from set\)$", re.DOTALL)

WHOLE: Final = 1e15
"""Floats up to here are written as whole numbers if they are; 1e300 is clearer as it is."""

MOST_SHOWN: Final = 20
"""How many different problems are listed."""


@dataclass(frozen=True, slots=True)
class Point:
    """One experiment of a sweep; numbers count from 1."""

    number: int
    settings: Settings


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a sweep does: kept in its folder, so that it can go on."""

    data: Mapping[str, Any]
    """The experiment's sections as plain values, with `sweep`."""
    config: SweepConfig
    axes: tuple[Axis, ...]
    points: tuple[Point, ...]
    """Empty where they are chosen as the sweep goes on."""
    seeds: tuple[int, ...]
    world: World

    @property
    def name(self) -> str:
        """The experiment's."""
        return str(self.data.get("name", "sweep"))

    @property
    def runs(self) -> int:
        """How many there are to make, of all seeds."""
        return (len(self.points) or self.trials) * len(self.seeds)

    @property
    def trials(self) -> int:
        """How many points a search tries at most."""
        return self.config.points or TRIALS

    @property
    def sample(self) -> Experiment:
        """The experiment of one point: of the first, or of one that may be chosen."""
        return self.experiment(self.points[0].settings if self.points else _ends(self)[0])

    def experiment(self, settings: Settings, seed: int | None = None) -> Experiment:
        """The experiment of a point.

        Raises:
            ConfigError: it is not valid.
        """
        changes = {**settings, "sweep": None} | ({} if seed is None else {"seed": seed})
        return load_data(self.data, self.name, changes)


def settings_text(settings: Settings) -> str:
    """`transceiver.transfer_timeout=5s, kv_cache.blocks=512`."""
    return ", ".join(f"{path}={value_text(value)}" for path, value in settings.items())


def value_text(value: object) -> str:
    """A value as `--set` takes it."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {value_text(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(value_text, value)) + "]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float) and value.is_integer() and abs(value) < WHOLE:
        return str(int(value))  # the same number, and as people write it
    return str(value)


def make_plan(experiment: Experiment, world: World) -> Plan:
    """The plan of an experiment with a `sweep` section. Its points are not checked yet.

    Raises:
        UsageError: it varies nothing, or something is wrong with an axis or the design.
    """
    config = experiment.sweep or SweepConfig()
    axes = tuple(parse_axis(path, values) for path, values in config.vary.items())
    if not axes:
        raise UsageError("nothing to vary: give --vary PATH=VALUES, or a sweep section")
    for axis in axes:
        if axis.path == "seed" or axis.path.partition(".")[0] == "sweep":
            raise UsageError(f"{axis.path} is no axis: --seeds says how many seeds each point has")
    groups = grouped(axes, config.zip)
    seed = experiment.seed
    drawn = [] if config.optimize else designed(groups, config.design, config.points, seed)
    if config.optimize and count_of(groups) <= (config.points or TRIALS):
        drawn = designed(groups, "grid", None, seed)  # to try all of them is the best search
    points = tuple(Point(number, settings) for number, settings in enumerate(drawn, 1))
    # Without defaults: one that follows from a varied value follows it in each point.
    data = experiment.model_dump(by_alias=True, exclude_unset=True)
    plan = Plan(data, config, axes, points, tuple(range(seed, seed + config.seeds)), world)
    if plan.runs > MOST_POINTS:
        raise UsageError(f"{plan.runs:,} runs are too many: the most is {MOST_POINTS:,}")
    return plan


def with_sweep(
    experiment: Experiment, changes: Mapping[str, object], by: str = "--vary"
) -> Experiment:
    """The experiment with these keys of its `sweep` section; axes are added to those it has.

    `by` is how the caller has given them, for messages.

    Raises:
        UsageError: an axis or another key is wrong; all problems of axes are said together.
    """
    vary = changes.get("vary", {})
    if not isinstance(vary, Mapping):
        raise UsageError(f"{by} takes values by their paths, not {type(vary).__name__}")
    problems = []
    for path, values in vary.items():
        try:
            parse_axis(path, values)
        except ValueError as error:
            problems.append(f"{by} {path}={value_text(values)}: {error}")
    if problems:
        raise ConfigError(experiment.name, problems)
    own = experiment.sweep or SweepConfig()
    given = own.model_dump(by_alias=True, exclude_unset=True) | dict(changes)
    given["vary"] = {**own.vary, **vary}
    data = experiment.model_dump(by_alias=True, exclude_unset=True)
    return load_data({**data, "sweep": given}, experiment.name)


def check_points(
    plan: Plan,
    look: Callable[[Experiment], None] = lambda experiment: None,
    by: str = "--vary",
) -> None:
    """Check each point, and what the points read. `look` is called with each experiment before its
    names are looked up. `by` is how the axes were given, for messages.

    Raises:
        ConfigError: some are not valid; the error lists all problems, and which points have them.
    """
    points = [point.settings for point in plan.points] or _ends(plan)
    problems: dict[str, dict[str, list[Settings]]] = {}  # by what is wrong, and what was found
    traces: set[str] = set()
    for settings in points:
        try:
            experiment = plan.experiment(settings)
            look(experiment)
            check(experiment, plan.world)
            workload = experiment.workload
            if isinstance(workload, TraceConfig) and workload.path not in traces:
                traces.add(workload.path)
                build(experiment)
        except ConfigError as error:
            for line in error.problems:
                text = f"{by} {line[4:]}" if line.startswith("set ") else line
                value = _FOUND.search(text)
                wrong, found = (text[: value.start()], value[1]) if value else (text, "")
                problems.setdefault(wrong, {}).setdefault(found, []).append(settings)
        except UsageError as error:
            problems.setdefault(str(error), {}).setdefault("", []).append(settings)
    if problems:
        lines = [_line(wrong, found, by, len(points)) for wrong, found in problems.items()]
        more = (
            [f"and {counted(len(lines) - MOST_SHOWN, 'more problem')}"]
            if len(lines) > MOST_SHOWN
            else []
        )
        raise ConfigError(f"{plan.name}, varied", [*lines[:MOST_SHOWN], *more])


def _line(wrong: str, found: Mapping[str, Sequence[Settings]], by: str, points: int) -> str:
    """A path that is no key is so with each of its values: that is one problem, and one line."""
    having = [settings for those in found.values() for settings in those]
    value, *others = found
    more = f" and {counted(len(others), 'other value')}" if others else ""
    text = f"{wrong} (found {value}{more}, from {by})" if value else wrong
    if len(having) == points:
        return text
    return f"{text} [{len(having)} of {points} points, such as {settings_text(having[0])}]"


def _ends(plan: Plan) -> list[Settings]:
    """Of an optimization, whose points are not known yet: each axis at each end or value, the
    others at their first."""
    first = {axis.path: axis.at(0.0) for axis in plan.axes}
    found: list[Settings] = []
    for axis in plan.axes:
        last = 1 - 2**-53
        values = axis.values or (axis.at(0.0), axis.at(last))
        found += [{**first, axis.path: value} for value in values]
    return found
