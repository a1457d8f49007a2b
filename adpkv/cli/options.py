"""The arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from adpkv.cli.remarks import found_file

__all__ = [
    "AsJson",
    "ExperimentFile",
    "ExperimentFiles",
    "OptionalFile",
    "Out",
    "Overrides",
    "Quiet",
]


def _found(context: typer.Context, asked: Path) -> Path:
    """The file of an experiment; prints which one is taken where a file and a name both fit."""
    if context.resilient_parsing:
        return asked
    return found_file(asked, quiet=context.params.get("quiet", False))


def _maybe_found(context: typer.Context, asked: Path | None) -> Path | None:
    return None if asked is None else _found(context, asked)


def _all_found(context: typer.Context, asked: list[Path]) -> list[Path]:
    return [_found(context, file) for file in asked]


def _completed(incomplete: str) -> list[str]:
    """Names of experiments, YAML files, and folders on the way to them."""
    from adpkv.config.shipped import shipped

    base, _, begun = incomplete.rpartition("/")
    around = Path(base) if base else Path("/" if incomplete.startswith("/") else ".")
    try:
        here = sorted(path for path in around.iterdir() if path.name.startswith(begun))
    except OSError:
        here = []
    head = incomplete.removesuffix(begun)
    hidden = begun.startswith(".")
    shown = [path for path in here if hidden or not path.name.startswith(".")]
    files = [head + path.name for path in shown if path.suffix in (".yaml", ".yml")]
    folders = [f"{head}{path.name}/" for path in shown if path.is_dir()]
    names = [one.name for one in shipped() if one.name.startswith(incomplete)]
    return [*names, *files, *folders]


ExperimentFile = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        help="The experiment: a YAML file, or a name that `adpkv configs` lists.",
        callback=_found,
        autocompletion=_completed,
        show_default=False,
    ),
]
OptionalFile = Annotated[
    Path | None,
    typer.Argument(
        metavar="FILE",
        help="The experiment: a YAML file, or a name that `adpkv configs` lists.",
        callback=_maybe_found,
        autocompletion=_completed,
        show_default=False,
    ),
]
ExperimentFiles = Annotated[
    list[Path],
    typer.Argument(
        metavar="FILE",
        help="Experiments: YAML files, or names that `adpkv configs` lists.",
        callback=_all_found,
        autocompletion=_completed,
        show_default=False,
    ),
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
# Eager: the file's callback asks whether it may print.
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", is_eager=True, help="Show nothing but errors.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
