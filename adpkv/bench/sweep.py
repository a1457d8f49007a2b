"""What a sweep adds to the runs that it makes: its wall time beside that of the same simulations,
made one after the other in one process, divided by the cores."""

from __future__ import annotations

import resource
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Final

from adpkv.bench.figure import Figure, Target, figure
from adpkv.config import load
from adpkv.config.shipped import folder
from adpkv.sweeps.calling import complete, local_pool
from adpkv.sweeps.folder import SweepFolder
from adpkv.sweeps.perform import perform
from adpkv.sweeps.plan import check_points, make_plan, with_sweep
from adpkv.sweeps.running import jobs_for, task_of

__all__ = ["sweep"]

MOST_ADDED: Final = 1.1
"""Issue 14: 200 points in the time of 200 simulations / cores, and a tenth."""


def sweep(*, points: int = 200, every: int = 5) -> list[Figure]:
    """A sweep of the quickstart over so many rates; every fifth of its runs is also made alone."""
    experiment = load(folder() / "quickstart.yaml")
    changes = {"vary": {"workload.rate": f"{10.0}..{10.0 + points - 1}+1"}}
    began_s, before_s = perf_counter(), _cpu_s()
    plan = make_plan(with_sweep(experiment, changes), "virtual")
    check_points(plan)
    jobs = jobs_for(plan.sample, "virtual", None).count
    with tempfile.TemporaryDirectory(prefix="adpkv-bench-") as made:
        rows = SweepFolder.create(plan, Path(made), keep=False)
        with local_pool(jobs, "virtual") as pool:
            complete(rows, pool, lambda done, total, busy, failed: None)
        wall_s, cpu_s = perf_counter() - began_s, _cpu_s() - before_s
        alone = [point for point in plan.points if point.number % every == 0]
        perform(task_of(rows, alone[0], experiment.seed, None))  # what is imported, is
        began_s, before_s = perf_counter(), _cpu_s()
        for point in alone:
            perform(task_of(rows, point, experiment.seed, None))
        one_s = (perf_counter() - began_s) / len(alone)
        one_cpu_s = (_cpu_s() - before_s) / len(alone)
        rows.close()
    return [
        figure(
            "sweep",
            wall_s,
            "s",
            reference=one_s * points / jobs,
            against="the same simulations one by one / cores",
            target=Target("ratio", "<=", MOST_ADDED),
            note=f"{points} points of the quickstart, {jobs} side by side; {one_s * 1e3:.0f} ms a "
            "simulation alone; checks, start of the workers and tables included",
        ),
        figure(
            "sweep, processor time",
            cpu_s,
            "s",
            reference=one_cpu_s * points,
            against="the same simulations one by one",
            target=Target("ratio", "<=", MOST_ADDED),
            note="the same sweep, where other processes take part of the cores",
        ),
    ]


def _cpu_s() -> float:
    """Of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)
