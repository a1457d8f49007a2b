"""The options of `adpkv explore`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

__all__ = [
    "DEFAULT_SEEDS",
    "RANDOM",
    "ForTime",
    "Jobs",
    "MostFinds",
    "ResumeIn",
    "Seeds",
    "Strategy",
    "seconds_for",
]

DEFAULT_SEEDS: Final = "0:10000"
RANDOM: Final = "random"
"""The strategy where none is given."""

Seeds = Annotated[
    str | None,
    typer.Option(
        metavar="A:B",
        help="The seeds from A to below B.",
        show_default=f"{DEFAULT_SEEDS}; with --for from 0 on",
    ),
]
ForTime = Annotated[
    str | None,
    typer.Option("--for", metavar="TIME", help="Begin no more seeds after this time, as 10m."),
]
Jobs = Annotated[
    int | None,
    typer.Option(metavar="J", help="How many processes work.", show_default="all cores"),
]
Strategy = Annotated[
    str,
    typer.Option(
        metavar="random|pct:D|guided|exhaustive",
        help="How cases are chosen: drawn; schedules that find bugs of depth D; mutated from"
        " those that reached something new; or all interleavings of a small script.",
    ),
]
MostFinds = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="End after so many different finds."),
]
ResumeIn = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Go on in the folder of an exploration.", show_default=False),
]


def seconds_for(text: str | None) -> float | None:
    """The seconds of `--for`.

    Raises:
        UsageError: it is no duration.
    """
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
