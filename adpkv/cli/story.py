"""`adpkv story`: what happened to one request, across ranks, from the files of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from adpkv.cli.options import AsJson

__all__ = ["story"]

MOST_SHOWN: Final = 60
"""Characters of what somebody gave as a number."""


def story(
    request: Annotated[
        str, typer.Argument(metavar="REQUEST", help="Its number.", show_default=False)
    ],
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="[DIR]", help="The same as --out.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The run's folder.", show_default="the newest in runs/"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Tell what happened to one request of a run: routing, transfer, faults, answers."""
    import json
    import sys

    from adpkv.errors import UsageError
    from adpkv.output.folder import RunFolder
    from adpkv.output.story import read_stories
    from adpkv.output.story_text import as_values, story_lines
    from adpkv.terminal import terminal_columns

    if folder is not None and out is not None:
        raise UsageError(f"the run's folder is given twice: {folder}, and --out {out}")
    number = _number(request, folder or out)
    (found,) = read_stories(RunFolder(folder or out or RunFolder.newest().path), [number])
    if as_json:
        print(json.dumps(as_values(found), indent=2))
    else:
        print("\n".join(story_lines(found, terminal_columns(sys.stdout))))


def _number(request: str, place: Path | None) -> int:
    """The request's number.

    Raises:
        UsageError: it is none; perhaps the arguments are in the other order.
    """
    from adpkv.errors import UsageError

    try:
        return int(request)
    except ValueError:
        other = str(place) if place is not None and str(place).isdecimal() else "7"
        raise UsageError(
            f"{request[:MOST_SHOWN]}: the request's number comes first, then the run's folder, as"
            f" in: adpkv story {other} {request[:MOST_SHOWN]}"
        ) from None
