"""What a sweep shows: how far it is and how long it will take, then a table of its points."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from adpkv.counting import counted
from adpkv.output.progress import LIVE_INTERVAL_S, drawn, drawn_lines, span_text
from adpkv.output.tables import Table, print_line, width_of, wrapped
from adpkv.sweeps.figures import SHARES, column_for, flat, short_name
from adpkv.sweeps.plan import value_text
from adpkv.sweeps.result import Sweep, SweepPoint, described
from adpkv.terminal import Terminal, console_for

__all__ = ["Made", "SweepProgress", "as_values", "figure_text", "figures_to_show", "show_sweep"]

PLAIN_INTERVAL_S: Final = 5.0
"""Between two lines where there is no terminal."""

MOST_POINTS_SHOWN: Final = 40
MOST_FAILED_SHOWN: Final = 5
SHOWN: Final = (
    "requests.completed",
    "rates.error_rate",
    "rates.goodput_per_s",
    "rates.output_tokens_per_s",
    "latency.ttft_s.p50",
    "latency.ttft_s.p99",
    "latency.e2e_s.p99",
    "transfers.quarantined_peak",
)
"""The figures that are shown unless others are asked for."""


class SweepProgress:
    """How far a sweep is: a bar on a terminal, a line now and then elsewhere, nothing if quiet."""

    def __init__(
        self,
        stream: IO[str],
        *,
        quiet: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock, self._quiet = clock, quiet
        self._began_s = self._due_s = clock()
        self._first: int | None = None
        self._console = console_for(stream)
        self._terminal: Terminal | None = None
        if self._console.is_terminal and not self._console.is_dumb_terminal and not quiet:
            self._terminal = Terminal.behind(stream)
        if self._terminal is None:
            self._due_s += PLAIN_INTERVAL_S

    def __call__(self, done: int, total: int, busy: int, failed: int) -> None:
        """So many runs have ended, are there in all, are under way, did not complete."""
        now_s = self._clock()
        if self._first is None:
            self._first = done
        if self._quiet or now_s < self._due_s:
            return
        words = [f"{busy} under way", *([f"{failed} failed"] if failed else [])]
        made, passed_s = done - self._first, now_s - self._began_s
        if made > 0 and passed_s > 0:
            rate = made / passed_s
            words.append(f"{rate:,.1f} runs/s" if rate >= 0.1 else f"{1 / rate:,.0f} s a run")
            words += [f"{span_text(round((total - done) / rate))} left"] if done < total else []
        said = f"{done}/{total} runs"
        if self._terminal is None:
            self._due_s = now_s + PLAIN_INTERVAL_S
            print_line(self._console, " · ".join([said, *words]))
            return
        self._due_s = now_s + LIVE_INTERVAL_S
        picture = drawn(said, done / max(total, 1), words, "red" if failed else "dim")
        self._terminal.show(drawn_lines(picture, self._terminal))

    def close(self) -> None:
        """Take the bar away."""
        if self._terminal is not None:
            self._terminal.clear()


@dataclass(frozen=True, slots=True)
class Made:
    """How many runs this call has made, and how long that took: not what a resumed sweep had."""

    runs: int
    wall_s: float


def figures_to_show(sweep: Sweep, asked: Sequence[str]) -> list[str]:
    """The columns asked for, else the usual ones that some run has.

    Raises:
        UsageError: a name is no figure.
    """
    summed = [flat(run.summary) for run in sweep.runs if run.summary is not None]
    columns = dict.fromkeys(key for one in summed for key in one)
    if asked and summed:
        return [column_for(name, columns) for name in asked]
    return [name for name in SHOWN if any(one.get(name) is not None for one in summed)]


def show_sweep(
    stream: IO[str],
    sweep: Sweep,
    asked: Sequence[str],
    made: Made,
    files: Sequence[Path],
    chosen: Sequence[SweepPoint] | None = None,
) -> None:
    """The points as a table, or the chosen ones, then how it ended and where the files are."""
    console = console_for(stream)
    columns = figures_to_show(sweep, asked)
    points = sweep.points if chosen is None else chosen
    rows = [_row(point, sweep.axes, columns) for point in points[:MOST_POINTS_SHOWN]]
    head = [*(_leaf(path, sweep.axes) for path in sweep.axes), *map(_title, columns), "outcome"]
    words = {*range(len(sweep.axes)), len(head) - 1}
    if points:
        numbers = [i for i in range(len(head)) if i not in words]
        Table(head, rows, numbers, naming=len(sweep.axes)).show(console)
    said = []
    if len(points) > MOST_POINTS_SHOWN:
        said.append(f"in the table below: {counted(len(points) - MOST_POINTS_SHOWN, 'more point')}")
    if chosen and len(chosen) < len(sweep.points):
        many = f"{len(chosen)} " if len(chosen) > 1 else ""
        said.append(f"the {many}best of {len(sweep.points)} points")
    seeds = max((len(point.runs) for point in sweep.points), default=0)
    if seeds > 1:
        said.append(f"each figure is the mean over {seeds} seeds")
    for run in sweep.failed[:MOST_FAILED_SHOWN]:
        said.append(f"did not complete: {described(run)}")
    if len(sweep.failed) > MOST_FAILED_SHOWN:
        said.append(f"and {len(sweep.failed) - MOST_FAILED_SHOWN} others")
    completed = len(sweep.runs) - len(sweep.failed)
    runs = f"{len(sweep.runs)} of {counted(sweep.total, 'run')}"
    now = "" if made.runs == len(sweep.runs) else f", {made.runs} of them now,"
    said.append(f"{runs}{now} in {made.wall_s:.1f} s, {completed} completed")
    if files:
        said.append(f"table: {' and '.join(map(str, files))}")
    for line in said:
        for part in wrapped(line, width_of(console), hang="  "):
            print_line(console, part)


def _leaf(path: str, axes: Sequence[str]) -> str:
    """The shortest end of a path that no other axis has."""
    parts = path.split(".")
    for length in range(1, len(parts)):
        end = ".".join(parts[-length:])
        if sum(other == end or other.endswith(f".{end}") for other in axes) == 1:
            return end
    return path


def _title(column: str) -> str:
    short = short_name(column).replace("_", " ")
    return f"{short}/s" if column.endswith("_per_s") else short


def _row(point: SweepPoint, axes: Sequence[str], columns: Sequence[str]) -> list[str]:
    outcomes = dict.fromkeys(run.outcome for run in point.runs)
    return [
        *(value_text(point.settings.get(path, "")) for path in axes),
        *(figure_text(name, point.mean(name)) for name in columns),
        ", ".join(outcomes),
    ]


def figure_text(column: str, value: float | None) -> str:
    """A figure for people, by the unit that its column's name ends with."""
    if value is None:
        return "-"
    if column.endswith(SHARES):
        return f"{value:.1%}"
    if column.startswith("latency.") or (column.endswith("_s") and not column.endswith("_per_s")):
        return _duration(value)
    if value == int(value):
        return f"{value:,.0f}"
    return f"{value:,.2f}" if abs(value) < 1000 else f"{value:,.0f}"


def _duration(seconds: float) -> str:
    if abs(seconds) >= 1:
        return f"{seconds:.2f} s"
    return f"{seconds * 1e3:.2f} ms" if abs(seconds) >= 1e-3 else f"{seconds * 1e6:.1f} µs"


def as_values(sweep: Sweep) -> dict[str, Any]:
    """All of it as plain values, for JSON."""
    return {
        "name": sweep.name,
        "folder": None if sweep.folder is None else str(sweep.folder),
        "axes": list(sweep.axes),
        "total": sweep.total,
        "failed": len(sweep.failed),
        "runs": sweep.rows(),
    }
