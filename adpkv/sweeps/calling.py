"""Makes a whole sweep: what the command line and the library share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

from adpkv.config import Experiment
from adpkv.errors import UsageError
from adpkv.launcher_variables import without_launcher
from adpkv.sweeps.folder import SweepFolder
from adpkv.sweeps.objectives import Goal, parse_goal
from adpkv.sweeps.optimizing import need_optuna, searched
from adpkv.sweeps.parquet import parquet_writer
from adpkv.sweeps.plan import Plan, Point, World, check_points, make_plan, with_sweep
from adpkv.sweeps.pool import STOP_S, Pool, ProcessPool
from adpkv.sweeps.result import Sweep, SweepPoint, of_folder, points_of
from adpkv.sweeps.running import Watching, jobs_for, make_runs
from adpkv.worlds.mpi.launcher.calling import END_BOUND_S, environment_to_import
from adpkv.worlds.mpi.oversubscription import one_thread

__all__ = ["complete", "goal_of", "local_pool", "sweep_into"]


@contextmanager
def local_pool(jobs: int, world: str) -> Iterator[Pool]:
    """Worker processes on this machine, which can import what this process can."""
    environment = without_launcher(environment_to_import())
    one_thread(environment)
    pool = ProcessPool(jobs, environment, END_BOUND_S if world == "mpi" else STOP_S)
    try:
        yield pool
    finally:
        pool.close()


def sweep_into(
    experiment: Experiment,
    changes: Mapping[str, object],
    out: Path,
    world: World,
    jobs: int | None,
    limit_s: float | None,
    watch: Watching,
    *,
    keep: bool,
) -> Sweep:
    """A whole sweep on this machine; `changes` are keys of the `sweep` section.

    Raises:
        UsageError: something is wrong with it; then nothing has run.
    """
    plan = make_plan(with_sweep(experiment, changes, "vary"), world)
    check_points(plan, by="vary")
    goal_of(plan)
    count = jobs_for(plan.sample, world, jobs).count
    folder = SweepFolder.create(plan, out, keep=keep)
    try:
        with local_pool(count, world) as pool:
            complete(folder, pool, watch, limit_s)
    finally:
        folder.close()
    return of_folder(folder)


def complete(
    folder: SweepFolder, pool: Pool, watch: Watching, limit_s: float | None = None
) -> list[Path]:
    """Make what is left of a sweep, and its tables however this ends; these are returned.

    Raises:
        OSError: a file cannot be written.
    """
    plan = folder.plan
    # It takes half a second, which the tables would wait for at the end.
    Thread(target=parquet_writer, daemon=True).start()
    try:
        if plan.points or not plan.config.optimize:
            make_runs(folder, pool, watch, limit_s)
        else:
            _search(folder, pool, watch, limit_s)
    except BaseException:
        folder.write_tables()
        raise
    return folder.write_tables()


def goal_of(plan: Plan) -> Goal | None:
    """What a sweep looks for; None if it looks for nothing.

    Raises:
        UsageError: it is not there to be found.
    """
    config = plan.config
    if not config.optimize and not config.subject_to:
        return None
    if not config.optimize:
        raise UsageError("--subject-to bounds what --optimize looks for: give both")
    goal = parse_goal(config.optimize, config.subject_to, plan.sample)
    if not plan.points:
        need_optuna()
    return goal


def _search(folder: SweepFolder, pool: Pool, watch: Watching, limit_s: float | None) -> None:
    plan = folder.plan
    goal = goal_of(plan)
    assert goal is not None
    seeds = len(plan.seeds)

    def examine(points: Sequence[Point]) -> list[SweepPoint]:
        make_runs(folder, pool, watch, limit_s, points, plan.trials * seeds)
        settings = {point.number: dict(point.settings) for point in points}
        if any(settings.get(row.point, row.settings) != row.settings for row in folder.rows):
            raise UsageError(
                f"{folder.path}: another version of Optuna has chosen its points, or its sweep"
                " section was changed: begin again"
            )
        return [one for one in points_of(folder.rows) if one.number in settings]

    for _ in searched(plan, goal, plan.seeds[0], examine):
        pass
