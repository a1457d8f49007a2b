"""`adpkv explore`: many seeds of one experiment, each with another schedule and other faults."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from adpkv.cli.options import AsJson, OptionalFile, Out, Overrides, Quiet
from adpkv.exit_codes import ExitCode, by_signal
from adpkv.terminal import final_line

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from adpkv.exploration.calling import Bounds
    from adpkv.exploration.campaign import Plan
    from adpkv.exploration.folder import ExplorationFolder
    from adpkv.exploration.pool import Pool

__all__ = ["explore"]

DEFAULT_SEEDS: Final = "0:10000"


def explore(
    overrides: Overrides,
    file: OptionalFile = None,
    seeds: Annotated[
        str | None,
        typer.Option(
            metavar="A:B",
            help="The seeds from A to below B.",
            show_default=f"{DEFAULT_SEEDS}; with --for from 0 on",
        ),
    ] = None,
    for_time: Annotated[
        str | None,
        typer.Option("--for", metavar="TIME", help="Begin no more seeds after this time, as 10m."),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(metavar="J", help="How many processes work.", show_default="all cores"),
    ] = None,
    strategy: Annotated[
        str,
        typer.Option(
            metavar="random|pct:D|guided",
            help="How cases are chosen: drawn; schedules that find bugs of depth D; or mutated from"
            " those that reached something new.",
        ),
    ] = "random",
    finds: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="End after so many different finds."),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Go on in the folder of an exploration.", show_default=False
        ),
    ] = None,
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
    from adpkv.sweeps.environment import size_of_job

    bounds = Bounds(_seconds(for_time), finds)
    count = jobs_for(jobs)

    def prepared() -> ExplorationFolder:
        if resume is not None:
            if out is not None:
                raise UsageError(f"--resume {resume} goes on in its folder: leave --out out")
            plan = None if file is None else _plan(file, overrides, strategy, seeds, for_time)
            return ExplorationFolder.resume(resume, plan)
        if file is None:
            raise UsageError("which experiment? adpkv explore FILE --for 10m")
        return ExplorationFolder.create(_plan(file, overrides, strategy, seeds, for_time), out)

    if size_of_job(os.environ) > 1:
        from contextlib import nullcontext

        with pool_of_ranks() as ranks:
            if ranks is not None:
                _complete(prepared(), nullcontext(ranks), bounds, quiet=quiet, as_json=as_json)
        return
    _complete(prepared(), local_pool(count), bounds, quiet=quiet, as_json=as_json)


def _seconds(text: str | None) -> float | None:
    from adpkv.config.units import SECOND, parse_duration
    from adpkv.errors import UsageError

    if text is None:
        return None
    try:
        found = parse_duration(text) / SECOND
    except ValueError as error:
        raise UsageError(f"--for {text}: {error}") from None
    if not found:
        raise UsageError(f"--for {text}: nothing can be explored in no time")
    return found


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


def _complete(
    folder: ExplorationFolder,
    pools: AbstractContextManager[Pool],
    bounds: Bounds,
    *,
    quiet: bool,
    as_json: bool,
) -> None:
    """Explore, and show what came of it."""
    import json

    from adpkv.cli.sweep_screen import Halted, halting
    from adpkv.exploration.calling import explore_into
    from adpkv.exploration.showing import ExploreProgress, show_exploration

    progress = ExploreProgress(sys.stderr, for_s=bounds.for_s, quiet=quiet)
    progress.begin(folder.campaign)
    try:
        with halting():
            found = explore_into(folder, pools, bounds, progress, progress.note)
    except Halted as halt:
        progress.close()
        final_line(
            f"adpkv: halted: {folder.campaign.seeds:,} seeds are in {folder.path};"
            f" go on with: adpkv explore --resume {folder.path}"
        )
        raise typer.Exit(by_signal(halt.number)) from None
    except OSError as error:
        progress.close()
        final_line(
            f"adpkv: {error.filename or folder.path}: cannot write here: {error.strerror};"
            f" what is done stays, go on with: adpkv explore --resume {folder.path}"
        )
        raise typer.Exit(ExitCode.OUTPUT_LOST) from error
    finally:
        progress.close()
        folder.close()
    if as_json:
        print(json.dumps(found.data(), indent=2))
    elif not quiet:
        show_exploration(sys.stdout, found)
    raise typer.Exit(found.exit_code)
