"""`adpkv bench`: how fast it is on this machine, each figure beside its reference."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["bench"]


def bench(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="[NAME]...",
            help="These benches only; all without one.",
            default_factory=list,
            show_default=False,
        ),
    ],
    only: Annotated[
        list[str],
        typer.Option(
            metavar="NAME",
            help="The same as NAME; can be given several times.",
            default_factory=list,
            show_default=False,
        ),
    ],
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help="Small sizes, rough figures: seconds each, more where real ranks start.",
        ),
    ] = False,
    trace: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The trace that `trace`, `oracles` and `shares` simulate.",
            show_default="conversation_trace.jsonl here or in traces/, else the packaged sample",
        ),
    ] = None,
    dynosim: Annotated[
        Path | None,
        typer.Option(
            metavar="PYTHON",
            help="A Python that has DynoSim, to run beside `trace` and `bursts`.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Measure speed: each figure beside its reference, measured in the same run."""
    from adpkv.bench.catalogue import Settings, chosen
    from adpkv.bench.figure import Figure
    from adpkv.bench.table import as_json as to_json
    from adpkv.bench.table import show
    from adpkv.errors import UsageError

    settings = Settings(quick=quick, trace=trace, dynosim=dynosim)
    wanted = [*names, *only]
    figures: list[Figure] = []
    skipped: dict[str, str] = {}
    benches, began_s = chosen(wanted, settings), time.monotonic()
    for number, (name, measure) in enumerate(benches.items(), 1):
        place = f"{number}/{len(benches)} after {time.monotonic() - began_s:.0f} s"
        print(f"measuring {name} ({place}) ...", file=sys.stderr, flush=True)
        try:
            figures += measure(settings)
        except UsageError as error:
            # What was asked for by name must be there.
            if wanted:
                raise
            skipped[name] = str(error)
    if as_json:
        print(to_json(figures, skipped))
    else:
        show(sys.stdout, figures, skipped)
