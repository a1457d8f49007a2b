"""`adpkv simulate`: an experiment in virtual time, in this one process."""

from __future__ import annotations

from typing import Annotated

import typer

from adpkv.cli.options import AsJson, ExperimentFile, Out, Overrides, Quiet
from adpkv.cli.remarks import look_here, remark, say

__all__ = ["simulate"]


def simulate(
    file: ExperimentFile,
    overrides: Overrides,
    out: Out = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="Instead of the file's seed.")
    ] = None,
    jump: Annotated[
        bool, typer.Option("--jump/--no-jump", help="Jump over quiet stretches of virtual time.")
    ] = True,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Run an experiment in virtual time, in one process, without MPI."""
    from adpkv.config import load
    from adpkv.errors import StuckError
    from adpkv.output.screen import Screen

    experiment = load(file, overrides if seed is None else [*overrides, f"seed={seed}"])
    look_here(experiment)
    if not quiet:
        remark(experiment)
    from adpkv.field_policies import assembly
    from adpkv.worlds.virtual.run import simulate as simulate_experiment

    if experiment.observe.http is not None and not quiet:
        say("observe.http is left out: nobody asks after virtual time")
    screen = Screen(experiment, quiet=quiet, as_json=as_json)
    try:
        result = simulate_experiment(
            experiment,
            out=out,
            jump=jump,
            on_progress=screen.progress.update,
            assemble=assembly(experiment),
            on_broken_off=screen.broken_off,
        )
    except StuckError as error:
        screen.stuck(error)
        raise
    finally:
        screen.progress.close()
    screen.close(result.summary, result.folder)
    raise typer.Exit(result.exit_code)
