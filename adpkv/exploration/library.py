"""`adpkv.explore`: an exploration or a walk for a program that uses adpkv as a library."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from pathlib import Path
from typing import NamedTuple

from adpkv.config import Experiment
from adpkv.errors import UsageError
from adpkv.exploration.calling import (
    Bounds,
    check_walkable,
    explore_all,
    explore_into,
    explore_plan,
    jobs_for,
)
from adpkv.exploration.campaign import LAST_SEED, Campaign, plan_for
from adpkv.exploration.folder import ExplorationFolder
from adpkv.exploration.pool import local_pool
from adpkv.exploration.result import Exploration
from adpkv.plugins import as_index
from adpkv.plugins.arguments import as_callable, as_whole

__all__ = ["Asked", "explored"]

SEEDS = 1000
"""Where neither seeds nor a time are given."""


class Asked(NamedTuple):
    """The arguments of `adpkv.explore` as given."""

    seeds: tuple[int, int] | None
    for_s: float | None
    strategy: str
    jobs: int | None
    finds: int | None
    on_progress: Callable[[Campaign], None] | None


def explored(experiment: Experiment, asked: Asked, out: Path | None) -> Exploration:
    """Explore; into a new folder if there is to be one.

    Raises:
        UsageError: the experiment cannot be varied, an argument is wrong, or `out` is no new
            folder.
    """
    asked = _checked(asked)
    bounds = _bounds(asked.for_s, asked.finds)
    if asked.strategy == "exhaustive":
        return _walked(experiment, asked, bounds, out)
    first, last = _span(asked.seeds, LAST_SEED if asked.for_s is not None else SEEDS)
    plan = plan_for(experiment, asked.strategy, first, last)
    count, watch = jobs_for(asked.jobs), asked.on_progress or (lambda campaign: None)
    if out is None:
        return explore_plan(plan, count, bounds, watch)
    folder = ExplorationFolder.create(plan, out)
    try:
        return explore_into(folder, local_pool(count), bounds, watch)
    finally:
        folder.close()


def _checked(asked: Asked) -> Asked:
    """The same with Python's own numbers. Those of numpy are numbers too, and True is none."""
    for_s = asked.for_s
    if for_s is not None and not _is_number(for_s):
        raise UsageError(f"for_s {for_s!r}: must be a number of seconds")
    jobs, finds = as_whole("jobs", asked.jobs), as_whole("finds", asked.finds)
    if not isinstance(asked.strategy, str):
        raise UsageError(f"strategy {asked.strategy!r}: must be a text")
    as_callable("on_progress", asked.on_progress)
    if for_s is not None and not isinstance(for_s, int):  # one of any length stays as it is
        for_s = float(for_s)
    return asked._replace(jobs=jobs, finds=finds, for_s=for_s)


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _span(seeds: object, most: int) -> tuple[int, int]:
    """The first seed, and the one after the last."""
    if seeds is None:
        return 0, most
    match seeds:
        # A range of two is a sequence of two as well, and means other seeds.
        case (first, last) if not isinstance(seeds, range):
            found = as_index(first), as_index(last)
            if found[0] is not None and found[1] is not None:
                return found[0], found[1]
    raise UsageError(f"seeds {seeds!r}: give the first seed and the one after the last: (0, 1000)")


def _bounds(for_s: float | None, finds: int | None) -> Bounds:
    """Those in which something can be explored."""
    if for_s is not None and not for_s > 0:
        raise UsageError(f"for_s {for_s}: nothing can be explored in no time")
    if finds is not None and finds < 1:
        raise UsageError(f"finds {finds}: it ends after at least one")
    return Bounds(for_s, finds)


def _walked(experiment: Experiment, asked: Asked, bounds: Bounds, out: Path | None) -> Exploration:
    given = {name: getattr(asked, name) for name in ("seeds", "jobs", "on_progress")}
    if wrong := [name for name, value in given.items() if value is not None]:
        raise UsageError(f"{', '.join(wrong)}: strategy 'exhaustive' takes none")
    check_walkable(experiment)
    if out is None:
        return explore_all(experiment, bounds)
    folder = ExplorationFolder.of_walk(experiment, out)
    try:
        return folder.close_with(explore_all(experiment, bounds))
    finally:
        folder.close()
