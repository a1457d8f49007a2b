"""Chooses points by what the ones before have shown, through Optuna (extra `optimize`).

Points come in batches of one size, whatever the number of jobs, and are told to the sampler in
their order: so the same search chooses the same points everywhere. A search that goes on asks for
its first points again, and finds their runs in its folder.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from adpkv.config.axes import Axis
from adpkv.errors import MissingPieceError
from adpkv.sweeps.designs import Group, Settings, grouped
from adpkv.sweeps.objectives import Goal
from adpkv.sweeps.plan import Plan, Point
from adpkv.sweeps.result import SweepPoint
from adpkv.sweeps.row import numeric

__all__ = ["BATCH", "need_optuna", "searched"]

BATCH: Final = 8
"""Points that are chosen at a time. More would know less of each other; fewer would leave cores
idle."""

STALE: Final = 5
"""After so many batches without a point that is new, there is nothing left to try."""

Examine = Callable[[Sequence[Point]], Sequence[SweepPoint]]
"""Makes what runs of some points are not there yet, and returns the points with their runs."""


def need_optuna() -> Any:
    """The package.

    Raises:
        MissingPieceError: it is not installed.
    """
    try:
        import optuna
    except ImportError:
        raise MissingPieceError("--optimize needs Optuna: pip install 'adpkv[optimize]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def searched(plan: Plan, goal: Goal, seed: int, examine: Examine) -> Iterator[int]:
    """Search: each step examines a batch of points, and yields how many points there are so far."""
    optuna = need_optuna()
    groups = grouped(plan.axes, plan.config.zip)
    with warnings.catch_warnings():
        # Points in batches are what the sampler calls experimental.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(seed=seed % 2**32, constant_liar=True)
    directions = ["maximize" if one.largest else "minimize" for one in goal.objectives]
    study = optuna.create_study(directions=directions, sampler=sampler)
    points: dict[str, Point] = {}
    known: dict[int, SweepPoint] = {}
    left, stale = plan.trials, 0
    while left > 0 and stale < STALE:
        before = len(points)
        batch = []
        for _ in range(min(BATCH, left)):
            trial = study.ask()
            settings = _suggested(trial, groups)
            name = json.dumps(settings, sort_keys=True, default=str)
            point = points.setdefault(name, Point(len(points) + 1, settings))
            batch.append((trial, point))
        new = {point.number: point for _, point in batch if point.number not in known}
        known |= {one.number: one for one in examine(list(new.values()))}
        for trial, point in batch:
            _tell(study, trial, goal, known[point.number])
        stale = stale + 1 if len(points) == before else 0
        left -= len(points) - before
        yield len(points)


def _suggested(trial: Any, groups: Sequence[Group]) -> Settings:
    found: dict[str, object] = {}
    for group in groups:
        first = group[0]
        if first.span is None:
            place = _place(trial, first)
            found |= {axis.path: axis.values[place] for axis in group}
            continue
        share = trial.suggest_float(first.path, 0.0, math.nextafter(1.0, 0.0))
        found |= {axis.path: axis.at(share) for axis in group}
    return found


def _place(trial: Any, axis: Axis) -> int:
    """Of values that have an order the sampler knows the order."""
    numbers = [one for value in axis.values if (one := _number(value)) is not None]
    if len(numbers) == len(axis.values) and numbers == sorted(numbers):
        return int(trial.suggest_int(axis.path, 0, len(axis.values) - 1))
    return int(trial.suggest_categorical(axis.path, list(range(len(axis.values)))))


def _number(value: object) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    return next(iter(numeric(value).values()), None)


def _tell(study: Any, trial: Any, goal: Goal, point: SweepPoint) -> None:
    for number, excess in enumerate(goal.excesses(point)):
        trial.set_constraint(str(number), excess)
    values = goal.values(point)
    if values is None:
        from optuna.trial import TrialState

        study.tell(trial, state=TrialState.FAIL)
    else:
        study.tell(trial, values)
