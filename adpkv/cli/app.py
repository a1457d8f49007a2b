"""The command `adpkv` and its subcommands.

Commands are imported when they are called, and import what they need then: `adpkv --help` loads no
configuration and `adpkv simulate` no MPI.
"""

from __future__ import annotations

from typing import Annotated, Final

import typer

from adpkv import __version__
from adpkv.cli.ending import end_with
from adpkv.cli.group import CommandGroup, Commands

__all__ = ["ALL", "COMMANDS", "app", "main"]

COMMANDS: Final = (
    "run",
    "simulate",
    "check",
    "sweep",
    "compare",
    "report",
    "explore",
    "replay",
    "configs",
    "init",
    "regress",
    "story",
    "timeline",
    "calibrate",
    "trace",
    "validate",
    "schema",
    "inspect",
    "supervise",
    "doctor",
    "bench",
)
"""In the order of `--help`; each is the function of that name in the module of that name."""

# What follows the command of `supervise` belongs to that command, options too.
_SETTINGS: Final = {"supervise": {"allow_interspersed_args": False}}

ALL: Final = Commands("adpkv.cli", {name: _SETTINGS.get(name, {}) for name in COMMANDS})
"""The same as commands of Typer, each imported and built when it is called."""


class _Group(CommandGroup):
    lazy = ALL


app = typer.Typer(
    cls=_Group,
    help="Disaggregated KV-cache serving with attention data parallelism, run and simulated.",
    epilog="`adpkv --install-completion` has your shell complete all this, and experiments' names.",
    add_completion=True,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"adpkv {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Say which one this is."),
    ] = False,
) -> None:
    pass


def main() -> None:
    """Any command. Typer itself ends usage errors with 2 and Ctrl-C with 130."""
    end_with(app)
