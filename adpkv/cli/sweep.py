"""`adpkv sweep`: one experiment with many settings, side by side, into one table."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from adpkv.cli.options import AsJson, OptionalFile, Overrides, Quiet
from adpkv.cli.remarks import look_here, remark, say
from adpkv.cli.sweep_options import (
    Design,
    Keep,
    Limit,
    More,
    Optimize,
    Points,
    Resume,
    Seeds,
    Show,
    SideBySide,
    SubjectTo,
    SweepOut,
    Vary,
    WhichWorld,
    Zip,
    seconds_of,
    sweep_keys,
)
from adpkv.cli.sweep_screen import SweepScreen

if TYPE_CHECKING:
    from adpkv.sweeps.folder import SweepFolder
    from adpkv.sweeps.plan import Plan

__all__ = ["sweep"]


def sweep(
    vary: Vary,
    zipped: Zip,
    overrides: Overrides,
    show: Show,
    optimize: Optimize,
    subject_to: SubjectTo,
    file: OptionalFile = None,
    *,
    more: More,
    seeds: Seeds = None,
    design: Design = None,
    points: Points = None,
    world: WhichWorld = "virtual",
    jobs: SideBySide = None,
    limit: Limit = None,
    keep: Keep = False,
    resume: Resume = None,
    out: SweepOut = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Run an experiment with many settings, side by side, into one table."""
    from adpkv.errors import UsageError
    from adpkv.launcher_variables import size_of_job
    from adpkv.sweeps.folder import SweepFolder

    given = {"vary": vary, "zip": zipped, "seeds": seeds, "design": design, "points": points}
    changes = sweep_keys({**given, "optimize": optimize, "subject_to": subject_to}, more)
    limit_s = seconds_of(limit)
    screen = SweepScreen(show, quiet=quiet, as_json=as_json)

    def prepared() -> tuple[SweepFolder, int]:
        # Everything is checked before a folder is made.
        if resume is not None:
            if file or out or overrides or changes or keep or world != "virtual":
                raise UsageError(
                    f"--resume {resume} goes on with what is there: leave the rest out"
                )
            folder = SweepFolder.resume(resume)
            look_here(folder.plan.sample)
            screen.check(folder.plan)
            return folder, _side_by_side(folder.plan, jobs, quiet=quiet)
        plan = _planned(file, overrides, changes, world, quiet=quiet)
        screen.check(plan)
        count = _side_by_side(plan, jobs, quiet=quiet)
        # A real run cannot be repeated, so its files stay.
        return SweepFolder.create(plan, out, keep=keep or world == "mpi"), count

    if size_of_job(os.environ) > 1:
        if world == "mpi":
            raise UsageError("adpkv sweep --world mpi starts mpirun itself: call it without")
        from adpkv.sweeps.over_mpi import pool_of_ranks

        with pool_of_ranks() as ranks:
            if ranks is not None:
                screen.complete(prepared()[0], nullcontext(ranks), limit_s)
        return
    from adpkv.sweeps.calling import local_pool

    folder, count = prepared()
    screen.complete(folder, local_pool(count, folder.plan.world), limit_s)


def _planned(
    file: Path | None,
    overrides: Sequence[str],
    changes: Mapping[str, Any],
    world: Literal["virtual", "mpi"],
    *,
    quiet: bool,
) -> Plan:
    """A new sweep, in which every point is checked."""
    from adpkv.config import load
    from adpkv.errors import UsageError
    from adpkv.sweeps.plan import check_points, make_plan, with_sweep

    if file is None:
        raise UsageError("which experiment? adpkv sweep FILE --vary a.b=VALUES")
    experiment = with_sweep(load(file, overrides), changes)
    plan = make_plan(experiment, world)
    check_points(plan, look_here)
    if not quiet:
        remark(experiment)
    return plan


def _side_by_side(plan: Plan, jobs: int | None, *, quiet: bool) -> int:
    from adpkv.sweeps.running import jobs_for

    found = jobs_for(plan.sample, plan.world, jobs)
    if not quiet:
        say(found.note)
    return found.count
