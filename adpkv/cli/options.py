"""The arguments and options that several commands share."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from adpkv.config import Experiment

__all__ = [
    "AsJson",
    "ExperimentFile",
    "ExperimentFiles",
    "OptionalFile",
    "Out",
    "Overrides",
    "Quiet",
    "look_here",
    "remark",
]


def remark(experiment: Experiment) -> None:
    """Print on stderr what one should know of an experiment before it runs; under mpirun once."""
    from adpkv.config.stand_in import stand_in, trace_assumptions

    _say(stand_in(experiment))
    _say(trace_assumptions(experiment))


def look_here(experiment: Experiment) -> None:
    """Let `MODULE:FACTORY` be found in the current folder first, as with `python -m`. Where the
    experiment names nothing of the kind, the import path stays as it is."""
    from adpkv.worlds.select_ports import names_others

    here = os.getcwd()
    if names_others(experiment) and here not in sys.path:
        sys.path.insert(0, here)


def _say(text: str) -> None:
    from adpkv.cli.launched import launched_rank

    if text and not launched_rank(os.environ):
        typer.echo(f"adpkv: {text}", err=True)


def _found(context: typer.Context, asked: Path) -> Path:
    """The file of an experiment; prints which one is taken where a file and a name both fit."""
    if context.resilient_parsing:
        return asked
    from adpkv.config.shipped import find

    found = find(asked)
    if not context.params.get("quiet", False):
        _say(found.note)
    return found.path


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
