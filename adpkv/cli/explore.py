"""`adpkv explore`: many seeds of one experiment, each with another schedule and other faults."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from adpkv.cli.explore_options import (
    DEFAULT_SEEDS,
    RANDOM,
    ForTime,
    Jobs,
    MostFinds,
    ResumeIn,
    Seeds,
    Strategy,
    seconds_for,
)
from adpkv.cli.options import AsJson, OptionalFile, Out, Overrides, Quiet
from adpkv.counting import counted
from adpkv.exit_codes import ExitCode, by_signal
from adpkv.terminal import final_line, stderr_line

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from adpkv.exploration.calling import Bounds
    from adpkv.exploration.campaign import Plan
    from adpkv.exploration.folder import ExplorationFolder
    from adpkv.exploration.pool import Pool
    from adpkv.exploration.result import Exploration

__all__ = ["explore"]


def explore(
    overrides: Overrides,
    file: OptionalFile = None,
    seeds: Seeds = None,
    for_time: ForTime = None,
    jobs: Jobs = None,
    strategy: Strategy = RANDOM,
    finds: MostFinds = None,
    resume: ResumeIn = None,
    out: Out = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Look for an interleaving, faults and cancels in which an oracle speaks; make it small."""
    from adpkv.errors import UsageError
    from adpkv.exploration.calling import Bounds, jobs_for
    from adpkv.exploration.folder import ExplorationFolder
    from adpkv.exploration.over_mpi import pool_of_ranks
    from adpkv.exploration.pool import local_pool
    from adpkv.launcher_variables import size_of_job

    def started(ranks: Pool | None) -> None:
        bounds, count = Bounds(seconds_for(for_time), finds), jobs_for(jobs)
        if strategy == "exhaustive":
            alone = {"--resume": resume, "--seeds": seeds, "--jobs": jobs, "mpirun": ranks}
            if wrong := [name for name, value in alone.items() if value is not None]:
                raise UsageError(
                    f"{', '.join(wrong)}: --strategy exhaustive walks FILE at one go, in one"
                    " process"
                )
            if file is None:
                raise UsageError("which experiment? adpkv explore FILE --strategy exhaustive")
            _walk(file, overrides, bounds, out, quiet=quiet, as_json=as_json)
            return
        if resume is not None:
            if out is not None:
                raise UsageError(f"--resume {resume} goes on in its folder: leave --out out")
            _check_goes_on(resume, file, {
                "--seeds": seeds, "--set": overrides, "--strategy": strategy != RANDOM,
            })  # fmt: skip
            plan = None if file is None else _plan(file, overrides, strategy, seeds, for_time)
            folder = ExplorationFolder.resume(resume, plan)
        elif file is None:
            raise UsageError("which experiment? adpkv explore FILE --for 10m")
        else:
            plan = _plan(file, overrides, strategy, seeds, for_time)
            folder = ExplorationFolder.create(plan, out)
        pools = local_pool(count) if ranks is None else nullcontext(ranks)
        _complete(folder, pools, bounds, quiet=quiet, as_json=as_json)

    if size_of_job(os.environ) == 1:
        started(None)
        return
    with pool_of_ranks() as ranks:
        if ranks is not None:  # the others have done all that this one had for them
            started(ranks)


def _check_goes_on(resume: Path, file: Path | None, given: Mapping[str, object]) -> None:
    """Without FILE nothing says what these would be of, and what was begun has its own.

    Raises:
        UsageError: one is given without FILE.
    """
    from adpkv.errors import UsageError

    ignored = [name for name, value in given.items() if value]
    if file is None and ignored:
        raise UsageError(
            f"{', '.join(ignored)}: --resume {resume} goes on with what was begun there: leave that"
            " out, or give FILE too"
        )


def _plan(
    file: Path, overrides: list[str], strategy: str, seeds: str | None, for_time: str | None
) -> Plan:
    from adpkv.config import load
    from adpkv.errors import UsageError
    from adpkv.exploration.campaign import LAST_SEED, plan_for

    first, _, last = (seeds or DEFAULT_SEEDS).partition(":")
    if not first.isdecimal() or not last.isdecimal() or int(last) > LAST_SEED:
        raise UsageError(f"--seeds {seeds}: give the first seed and the one after the last: 0:1000")
    end = LAST_SEED if seeds is None and for_time is not None else int(last)
    return plan_for(load(file, overrides), strategy, int(first), end)


def _walk(
    file: Path,
    overrides: list[str],
    bounds: Bounds,
    out: Path | None,
    *,
    quiet: bool,
    as_json: bool,
) -> None:
    """Walk all interleavings, and show what came of it."""
    import time

    from adpkv.cli.sweep_screen import Halted, halting
    from adpkv.config import load
    from adpkv.exploration.calling import all_so_far, check_walkable, explore_all
    from adpkv.exploration.exhaustive import Walk
    from adpkv.exploration.folder import ExplorationFolder
    from adpkv.exploration.showing import WalkProgress

    experiment = load(file, overrides)
    check_walkable(experiment)
    # Whoever cannot write there shall hear of it before the walk, not after.
    folder = ExplorationFolder.of_walk(experiment, out)
    progress, walked, began_s = WalkProgress(sys.stderr, quiet=quiet), Walk(), time.monotonic()
    try:
        try:
            with halting():
                found = explore_all(experiment, bounds, progress, walked)
        finally:
            progress.close()
        found = folder.close_with(found)
    except Halted as halt:
        found = folder.close_with(all_so_far(experiment, walked, began_s))
        again = "start it again" if out is None else "start it again with another --out"
        final_line(
            f"adpkv: halted: {counted(found.seeds, 'path')} and {counted(len(found.finds), 'find')}"
            f" are in {folder.path}; a walk is made at one go: {again}"
        )
        raise typer.Exit(by_signal(halt.number)) from None
    except OSError as error:
        raise _lost(error, folder.path) from error
    finally:
        folder.close()
    _told(found, quiet=quiet, as_json=as_json)


def _lost(error: OSError, path: Path) -> typer.Exit:
    final_line(f"adpkv: {error.filename or path}: cannot write here: {error.strerror}")
    return typer.Exit(ExitCode.OUTPUT_LOST)


def _told(found: Exploration, *, quiet: bool, as_json: bool) -> None:
    import json

    from adpkv.exploration.showing import show_exploration, trouble

    if as_json:
        print(json.dumps(found.data(), indent=2))
    elif not quiet:
        show_exploration(sys.stdout, found)
    elif found.exit_code:
        stderr_line(f"adpkv: {trouble(found)}")
    raise typer.Exit(found.exit_code)


def _complete(
    folder: ExplorationFolder,
    pools: AbstractContextManager[Pool],
    bounds: Bounds,
    *,
    quiet: bool,
    as_json: bool,
) -> None:
    """Explore, and show what came of it."""
    from adpkv.cli.sweep_screen import Halted, halting
    from adpkv.exploration.calling import explore_into
    from adpkv.exploration.showing import ExploreProgress

    progress = ExploreProgress(sys.stderr, for_s=bounds.for_s, quiet=quiet)
    progress.begin(folder.campaign)
    going_on = f"adpkv explore --resume {shlex.quote(str(folder.path))}"
    try:
        with halting():
            found = explore_into(folder, pools, bounds, progress, progress.note)
    except Halted as halt:
        progress.close()
        final_line(
            f"adpkv: halted: {counted(folder.campaign.seeds, 'seed')} and"
            f" {counted(len(folder.campaign.finds), 'find')} are in {folder.path};"
            f" go on with: {going_on}"
        )
        raise typer.Exit(by_signal(halt.number)) from None
    except OSError as error:
        progress.close()
        final_line(
            f"adpkv: {error.filename or folder.path}: cannot write here: {error.strerror};"
            f" what is done stays, go on with: {going_on}"
        )
        raise typer.Exit(ExitCode.OUTPUT_LOST) from error
    finally:
        progress.close()
        folder.close()
    _told(found, quiet=quiet, as_json=as_json)
