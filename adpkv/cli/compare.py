"""`adpkv compare`: runs side by side."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from adpkv.cli.options import AsJson

__all__ = ["compare"]


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...",
            help="Folders of runs or of sweeps; the first is what the others are compared with.",
            show_default=False,
        ),
    ],
    show: Annotated[
        list[str],
        typer.Option(
            metavar="FIGURE",
            help="Compare this figure, such as ttft_p99. Can be given several times.",
            default_factory=list,
            show_default=False,
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Show runs side by side: what differs, how sure that is, which requests ended differently."""
    from adpkv.comparison.compare import compare_runs
    from adpkv.comparison.showing import as_values, show_comparison

    found = compare_runs(runs, show)
    if as_json:
        print(json.dumps(as_values(found), indent=2))
    else:
        show_comparison(sys.stdout, found)
