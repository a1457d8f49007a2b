"""The options of `adpkv check`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

__all__ = [
    "DEFAULT_RANKS",
    "Allow",
    "Bound",
    "Dumps",
    "Kill",
    "Kills",
    "MustHandle",
    "Named",
    "ProgramArguments",
    "Ranks",
    "Replay",
    "Schedules",
    "Seconds",
    "Seed",
    "Shared",
    "ShowOutput",
    "Strategy",
    "UseMpi",
    "UseTorch",
]

Named = Annotated[
    str,
    typer.Argument(
        metavar="TARGET",
        help="FILE.py:FUNCTION, PACKAGE.MODULE:FUNCTION, or FILE.py as it is started.",
        show_default=False,
    ),
]
ProgramArguments = Annotated[
    list[str] | None,
    typer.Argument(metavar="-- ARGUMENTS", help="The program's own arguments.", show_default=False),
]
DEFAULT_RANKS: Final = 2
Ranks = Annotated[
    int | None,
    typer.Option(
        "-n",
        "--ranks",
        metavar="N",
        min=1,
        max=256,
        help="How many ranks.",
        show_default=str(DEFAULT_RANKS),
    ),
]
UseTorch = Annotated[
    bool,
    typer.Option("--torch", help="It uses torch.distributed, although its file does not say so."),
]
UseMpi = Annotated[
    bool, typer.Option("--mpi", help="It uses mpi4py, although its file does not say so.")
]
Schedules = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        max=100_000_000,
        help="At most so many schedules.",
        show_default="1000; with exhaustive all",
    ),
]
Kill = Annotated[
    bool, typer.Option("--kill", help="Any rank may die at any of its operations: one a schedule.")
]
Kills = Annotated[
    int | None,
    typer.Option("--kills", metavar="N", min=1, max=8, help="The same, up to N a schedule.",
                 show_default=False),
]  # fmt: skip
MustHandle = Annotated[
    bool,
    typer.Option(
        "--must-handle",
        help="As --kill, and a rank that ends with its library's error about that has failed.",
    ),
]
Seconds = Annotated[
    float, typer.Option("--for", metavar="S", min=0.001, help="At most so long, in seconds.")
]
Strategy = Annotated[
    str, typer.Option(metavar="random|pct:D|guided|exhaustive", help="How choices are made.")
]
Seed = Annotated[
    int, typer.Option(metavar="N", min=0, max=2**31, help="Of the choices and the ranks.")
]
Replay = Annotated[
    str | None, typer.Option(metavar="TOKEN", help="Make this one schedule.", show_default=False)
]
Allow = Annotated[
    list[str] | None,
    typer.Option(
        metavar="WHAT",
        help="Let ranks use what no schedule decides (socket, process, thread, zmq, rpc), or leave"
        " at their end what is unwaited or unreceived.",
        show_default=False,
    ),
]
Shared = Annotated[
    list[str] | None,
    typer.Option(
        metavar="MODULE",
        help="A top-level module of the program that all ranks share, as they share libraries.",
        show_default=False,
    ),
]
Dumps = Annotated[
    Path | None,
    typer.Option(
        "--flight-recorder",
        metavar="DIR",
        help="Write a find as dumps of PyTorch's Flight Recorder, for its analyser.",
        show_default=False,
    ),
]
Bound = Annotated[
    float, typer.Option(metavar="S", min=0.1, help="Real time that one schedule may take.")
]
ShowOutput = Annotated[bool, typer.Option("--show", help="Show what the ranks print.")]
