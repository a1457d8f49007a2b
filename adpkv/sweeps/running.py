"""Makes the runs of a sweep: gives out what has not ended yet, and writes down what has."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from adpkv.config import Experiment
from adpkv.errors import UsageError
from adpkv.sweeps.folder import SweepFolder
from adpkv.sweeps.plan import Point, World
from adpkv.sweeps.pool import Pool
from adpkv.sweeps.row import Task
from adpkv.worlds.memory_check import available_bytes, size_text
from adpkv.worlds.mpi.oversubscription import cores
from adpkv.worlds.virtual.memory_check import PROGRAM_BYTES, least_bytes

__all__ = ["Jobs", "Watching", "jobs_for", "make_runs", "task_of"]

LOOK_S: Final = 0.1
"""How often progress is looked at while no run ends."""


Watching = Callable[[int, int, int, int], None]
"""Is told how far a sweep is: so many runs have ended, are there in all, are under way, did not
complete."""


class Jobs:
    """How many runs go side by side, and why not more."""

    def __init__(self, count: int, note: str = "") -> None:
        self.count, self.note = count, note


def jobs_for(experiment: Experiment, world: World, asked: int | None) -> Jobs:
    """`asked`, or as many as there are cores, but no more than fit into memory; real runs one at a
    time unless told.

    Raises:
        UsageError: less than one is asked for.
    """
    if asked is not None and asked < 1:
        raise UsageError(f"--jobs {asked}: at least one run goes at a time")
    # Those on which its workers may run, as they inherit it: not those of the shell above.
    here = min(cores(), len(os.sched_getaffinity(0)))
    wanted = asked or (1 if world == "mpi" else max(1, math.floor(here)))
    room = available_bytes()
    if world == "mpi" or room is None:
        return Jobs(wanted)
    each = PROGRAM_BYTES + sum(least_bytes(experiment).values())
    fit = max(1, room // each)
    if fit >= wanted:
        return Jobs(wanted)
    return Jobs(
        fit,
        f"{fit} runs at a time and not {wanted}: each takes at least {size_text(each)} of memory, "
        f"and {size_text(room)} are free",
    )


def make_runs(
    folder: SweepFolder,
    pool: Pool,
    watch: Watching,
    limit_s: float | None = None,
    points: Sequence[Point] | None = None,
    total: int | None = None,
) -> None:
    """Make all runs that have not ended yet; each is in the folder as soon as it has.

    `points` are those of the plan, unless others are given; `total` is how many runs there will be
    in all.

    Raises:
        OSError: a row cannot be written.
    """
    left = _left(folder, folder.plan.points if points is None else points)
    total = folder.plan.runs if total is None else total
    failed = sum(not row.ok for row in folder.rows)
    upcoming = next(left, None)
    watch(len(folder.rows), total, 0, failed)
    while upcoming is not None or pool.busy:
        while upcoming is not None and pool.free > 0:
            pool.give(task_of(folder, *upcoming, limit_s))
            upcoming = next(left, None)
        for row in pool.rows(LOOK_S):
            folder.add(row)
            failed += not row.ok
        watch(len(folder.rows), total, pool.busy, failed)


def _left(folder: SweepFolder, points: Sequence[Point]) -> Iterator[tuple[Point, int]]:
    ended = {(row.point, row.seed) for row in folder.rows}
    for point in points:
        for seed in folder.plan.seeds:
            if (point.number, seed) not in ended:
                yield point, seed


def task_of(folder: SweepFolder, point: Point, seed: int, limit_s: float | None) -> Task:
    """What a worker is given for one run. The experiment is checked by the worker: settings that a
    search has chosen may not go together, which is a row."""
    out = folder.run_folder(point.number, seed)
    return Task(
        point=point.number,
        seed=seed,
        settings=dict(point.settings),
        data=dict(folder.plan.data),
        world=folder.plan.world,
        out=None if out is None else str(out),
        limit_s=limit_s,
    )
