"""The arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["AsJson", "ExperimentFile", "Out", "Overrides", "Quiet"]

ExperimentFile = Annotated[
    Path, typer.Argument(metavar="FILE", help="The experiment, a YAML file.", show_default=False)
]
Overrides = Annotated[
    list[str],
    typer.Option(
        "--set",
        metavar="a.b=c",
        help="Override a value of the file; can be given several times.",
        default_factory=list,
        show_default=False,
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Folder for the results.", show_default="runs/NAME-TIME"),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show nothing but errors.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
