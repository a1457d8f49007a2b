"""`adpkv simulate`: an experiment in virtual time, in this one process."""

from __future__ import annotations

from typing import Annotated

import typer

from adpkv.cli.options import AsJson, ExperimentFile, Out, Overrides, Quiet
from adpkv.cli.simulating import SimulateCall, simulating

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
    call = SimulateCall(file, overrides, out, seed, jump, quiet, as_json)
    raise typer.Exit(simulating(call))
