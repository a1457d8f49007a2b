"""`adpkv report`: a run or a sweep as one page of plots."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

__all__ = ["report"]


def report(
    plot: Annotated[
        list[str],
        typer.Option(
            metavar="NAME",
            help="Draw this plot alone, by its name in the page. Can be given several times.",
            default_factory=list,
            show_default=False,
        ),
    ],
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="RUN|SWEEP",
            help="The folder of a run or of a sweep.",
            show_default="the newest in runs/",
        ),
    ] = None,
    form: Annotated[
        Literal["html", "svg", "png"],
        typer.Option("--format", help="One page, or each plot as a file."),
    ] = "html",
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="The page, or the folder of the plots.",
            show_default="report.html or plots, in the folder",
        ),
    ] = None,
    theme: Annotated[
        Literal["light", "dark"],
        typer.Option(help="Colours of plots as files; the page follows its reader."),
    ] = "light",
) -> None:
    """Make one page of plots of a run or a sweep, which opens without a network."""
    from adpkv.counting import counted
    from adpkv.output.tables import print_line
    from adpkv.reports.calling import newest, write_report
    from adpkv.terminal import console_for
    from adpkv.whole_files import beside, is_open

    made = write_report(folder or newest(), out, form, plots=plot, theme=theme)
    console = console_for(beside(out))
    if form == "html":
        # Of what goes on in a pipe or behind other output there is no size to be found there.
        own = made[0].is_file() and not is_open(made[0])
        size = f" ({made[0].stat().st_size / 1e6:.1f} MB)" if own else ""
        print_line(console, f"report: {made[0]}{size}")
    else:
        print_line(console, f"{counted(len(made), 'plot')}: {made[0].parent}")
