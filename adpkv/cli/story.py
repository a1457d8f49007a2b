"""`adpkv story`: what happened to one request, across ranks, from the files of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from adpkv.cli.options import AsJson

__all__ = ["story"]


def story(
    request: Annotated[
        int, typer.Argument(metavar="REQUEST", help="Its number.", show_default=False)
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The run's folder.", show_default="the newest in runs/"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Tell what happened to one request of a run: routing, transfer, faults, answers."""
    import json
    import sys

    from adpkv.output.folder import RunFolder
    from adpkv.output.story import read_stories
    from adpkv.output.story_text import as_values, story_lines
    from adpkv.terminal import terminal_columns

    (found,) = read_stories(RunFolder(out or RunFolder.newest().path), [request])
    if as_json:
        print(json.dumps(as_values(found), indent=2))
    else:
        print("\n".join(story_lines(found, terminal_columns(sys.stdout))))
