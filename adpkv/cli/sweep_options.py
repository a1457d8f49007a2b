"""The options of `adpkv sweep`, and what they say as keys of a `sweep` section."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer

__all__ = [
    "Design",
    "Keep",
    "Limit",
    "More",
    "Optimize",
    "Points",
    "Resume",
    "Seeds",
    "Show",
    "SideBySide",
    "SubjectTo",
    "SweepOut",
    "Vary",
    "WhichWorld",
    "Zip",
    "seconds_of",
    "sweep_keys",
]

Vary = Annotated[
    list[str],
    typer.Option(
        "--vary",
        metavar="a.b=VALUES",
        help="An axis: values (1s,5s,20s), a range (512..4096*2, 10..50+10), or for drawn points"
        " a span (1s..20s, 1ms..1s log). Can be given several times.",
        default_factory=list,
        show_default=False,
    ),
]
Zip = Annotated[
    list[str],
    typer.Option(
        "--zip",
        metavar="a.b,c.d",
        help="Axes that go together, first value with first.",
        default_factory=list,
        show_default=False,
    ),
]
Show = Annotated[
    list[str],
    typer.Option(
        metavar="FIGURE",
        help="Show this figure, such as ttft_p99. Can be given several times.",
        default_factory=list,
        show_default=False,
    ),
]
Seeds = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="Run each point with so many seeds.", show_default="1"),
]
Design = Annotated[
    Literal["grid", "random", "latin"] | None,
    typer.Option(help="All combinations, or points that are drawn.", show_default="grid"),
]
Points = Annotated[int | None, typer.Option(metavar="N", min=1, help="How many points are drawn.")]
WhichWorld = Annotated[
    Literal["virtual", "mpi"], typer.Option(help="In virtual time, or on real ranks.")
]
SideBySide = Annotated[
    int | None,
    typer.Option(
        metavar="J", help="Runs side by side.", show_default="as many as cores; 1 of real ones"
    ),
]
Limit = Annotated[
    str | None, typer.Option(metavar="TIME", help="End a run that takes longer, such as 10m.")
]
Keep = Annotated[
    bool, typer.Option("--keep", help="Keep each run's folder, for story and compare.")
]
SweepOut = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="DIR",
        help="Folder for the table and all that is needed to go on, new or empty.",
        show_default="runs/NAME-sweep-TIME",
    ),
]
Resume = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Go on with the sweep in this folder.")
]
Optimize = Annotated[
    list[str],
    typer.Option(
        metavar="GOAL",
        help="Choose points by what others have shown: 'max goodput', 'min ttft_p99'; up to three.",
        default_factory=list,
        show_default=False,
    ),
]
SubjectTo = Annotated[
    list[str],
    typer.Option(
        metavar="BOUND",
        help="What the winner must keep, such as 'error_rate < 0.01'; several may follow.",
        default_factory=list,
        show_default=False,
    ),
]
More = Annotated[
    list[str],
    typer.Argument(
        metavar="[GOAL|BOUND]...",
        help="More of --optimize and --subject-to.",
        default_factory=list,
        show_default=False,
    ),
]


GOALS: Final = ("max ", "min ")


def sweep_keys(given: Mapping[str, Any], more: list[str]) -> dict[str, Any]:
    """The options that are given as keys of the `sweep` section; `more` are goals and bounds that
    stand behind others.

    Raises:
        UsageError: one of them cannot be read.
    """
    from adpkv.errors import UsageError

    changes = {key: value for key, value in given.items() if value}
    for text in more:
        key = "optimize" if text.startswith(GOALS) else "subject_to"
        if key not in changes:
            raise UsageError(f"{text!r}: what is this? One FILE is swept at a time")
        changes[key] = [*changes[key], text]
    if "vary" in changes:
        axes: dict[str, str] = {}
        for text in changes["vary"]:
            path, equals, values = text.partition("=")
            path = path.strip()
            if not equals or not path:
                raise UsageError(f"--vary {text}: must look like section.key=VALUES")
            if path in axes:
                raise UsageError(f"--vary {path} is given twice: list its values, a comma between")
            axes[path] = values
        changes["vary"] = axes
    if "zip" in changes:
        changes["zip"] = [[one.strip() for one in text.split(",")] for text in changes["zip"]]
    return changes


def seconds_of(limit: str | None) -> float | None:
    """The seconds of `--limit`.

    Raises:
        UsageError: it is no duration.
    """
    from adpkv.config.units import SECOND, parse_duration
    from adpkv.errors import UsageError

    if limit is None:
        return None
    try:
        found = parse_duration(limit) / SECOND
    except ValueError as error:
        raise UsageError(f"--limit {limit}: {error}") from None
    if not found:
        raise UsageError(f"--limit {limit}: no run takes so little")
    return found
