"""`adpkv regress`: the field's failures, reproduced with its policies and held by the contract."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from adpkv.cli.options import AsJson, Overrides, Quiet
from adpkv.cli.remarks import look_here
from adpkv.exit_codes import ExitCode
from adpkv.terminal import stderr_line

__all__ = ["DID_NOT_HOLD", "regress"]

DID_NOT_HOLD: Final = ExitCode.VIOLATION
"""A regression that did not hold counts as a violation."""


def regress(
    ids: Annotated[
        list[str],
        typer.Argument(
            metavar="[ID...]",
            help="These only, such as 1 or 7b.",
            default_factory=list,
            show_default=False,
        ),
    ],
    overrides: Overrides,
    world: Annotated[
        Literal["virtual", "mpi"], typer.Option(help="In virtual time, or on real ranks.")
    ] = "virtual",
    folder: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="DIR",
            help="Folder of the regression files.",
            show_default="those that come with adpkv",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keep the files of all runs, as ID/before and ID/after."),
    ] = None,
    update: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Make the world's table in this Markdown file anew."),
    ] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Run each failure of the field twice: as it was, and under the contract."""
    from adpkv.cli.launched import launched_rank
    from adpkv.errors import UsageError
    from adpkv.field_policies import assembly

    if launched_rank(os.environ) is not None:
        raise UsageError("adpkv regress starts mpirun itself: call it without")
    if update is not None and (ids or overrides):
        raise UsageError("--update writes the table of all regressions: leave out ids and --set")
    from adpkv.regressions import showing
    from adpkv.regressions.catalogue import PIN, choose, find_folder, read
    from adpkv.regressions.running import examine

    scenarios = choose(read(find_folder(folder), overrides), ids, world)
    for scenario in scenarios:
        look_here(scenario.experiment)
    pinned = [scenario.regression.id for scenario in scenarios if scenario.pinned]
    if pinned and not quiet:
        typer.echo(f"adpkv: {', '.join(pinned)}: about blocks, run with {PIN}", err=True)
    document = None if update is None else showing.Document(update, world)
    progress = showing.Progress(sys.stderr, len(scenarios), quiet=quiet)
    try:
        results = list(examine(scenarios, world, assembly, out, progress))
    finally:
        progress.close()
    if as_json:
        print(showing.as_json(results))
    elif not quiet:
        showing.show(sys.stdout, results)
    if document is not None:
        document.update(results)
    if not all(result.held for result in results):
        if quiet and not as_json:
            where = "" if out is None else f"; files: {out}"
            stderr_line(f"adpkv: {showing.conclusion(results)}{where}")
        raise typer.Exit(DID_NOT_HOLD)
