"""`adpkv timeline`: a run as a trace for Perfetto."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from adpkv.cli.options import AsJson

__all__ = ["timeline"]


def timeline(
    run: Annotated[
        Path | None,
        typer.Argument(
            metavar="[RUN]", help="The run's folder.", show_default="the newest in runs/"
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "--out",
            metavar="FILE",
            help="Write it here.",
            show_default="RUN/timeline.perfetto-trace",
        ),
    ] = None,
    since: Annotated[
        str, typer.Option("--from", metavar="TIME", help="Leave out what was over before.")
    ] = "0s",
    until: Annotated[
        str | None,
        typer.Option(
            "--to", metavar="TIME", help="Leave out what began later.", show_default="the end"
        ),
    ] = None,
    most: Annotated[
        int, typer.Option(metavar="SLICES", min=1, help="Show no more slices of ranks than this.")
    ] = 1_000_000,
    as_json: AsJson = False,
) -> None:
    """Write what all ranks of a run did, with its requests and transfers, as a Perfetto trace.

    The run must have been made with observe.timeline: true.
    """
    import json

    from adpkv.output.folder import RunFolder
    from adpkv.terminal import terminal_columns
    from adpkv.timeline.showing import as_values, lines, window
    from adpkv.timeline.writing import write_trace
    from adpkv.whole_files import beside

    folder = RunFolder(run or RunFolder.newest().path)
    written = write_trace(folder, output, window(since, until), most)
    stream = beside(output)
    if as_json:
        print(json.dumps(as_values(written), indent=2), file=stream)
    else:
        print("\n".join(lines(written, terminal_columns(stream))), file=stream)
