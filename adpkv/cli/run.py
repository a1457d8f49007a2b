"""`adpkv run`: an experiment on real ranks."""

from __future__ import annotations

import typer

from adpkv.cli.options import AsJson, ExperimentFile, Out, Overrides, Quiet
from adpkv.cli.rank import RankCall
from adpkv.cli.running import running

__all__ = ["run"]


def run(
    file: ExperimentFile,
    overrides: Overrides,
    out: Out = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Run an experiment on real ranks; starts mpirun unless mpirun started it."""
    told = None if out is None else str(out)
    raise typer.Exit(running(RankCall(str(file), overrides, told, quiet, as_json)))
