"""Showing results: a table for people, JSON for pipelines, Markdown for the documentation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Final

from adpkv.config.regression import World
from adpkv.counting import counted
from adpkv.errors import UsageError
from adpkv.output.tables import Table, print_line, width_of, wrapped
from adpkv.regressions.catalogue import Scenario
from adpkv.regressions.judging import told
from adpkv.regressions.running import Half, ScenarioResult
from adpkv.terminal import console_for
from adpkv.whole_files import write_whole

__all__ = ["Document", "Progress", "as_json", "as_markdown", "conclusion", "show"]

HEADINGS: Final = ("scenario", "reference", "before", "after", "time")
END: Final = "<!-- end of adpkv regress -->"


class Progress:
    """Which run is under way, on stderr: one line that changes on a terminal, else a line each
    scenario."""

    def __init__(self, stream: IO[str], total: int, *, quiet: bool = False) -> None:
        self._console = console_for(stream)
        self._total, self._quiet = total, quiet
        self._live = self._console.is_terminal and not self._console.is_dumb_terminal

    def __call__(self, number: int, scenario: Scenario, which: str) -> None:
        """This run begins."""
        if self._quiet:
            return
        regression = scenario.regression
        said = f"{number}/{self._total}  {regression.id} {regression.title}"
        if self._live:
            line = f"{said}: {which}"[: self._console.width - 1]
            self._console.file.write(f"\r\x1b[2K{line}")
            self._console.file.flush()
        elif which == "before":
            print_line(self._console, said)

    def close(self) -> None:
        """Take the line away."""
        if self._live and not self._quiet:
            self._console.file.write("\r\x1b[2K")
            self._console.file.flush()


def show(stream: IO[str], results: Sequence[ScenarioResult]) -> None:
    """The table, then whether all held."""
    console = console_for(stream)
    rows = [[_cells(result)[heading] for heading in HEADINGS] for result in results]
    Table(HEADINGS, rows, numbers=(HEADINGS.index("time"),)).show(console)
    held = all(result.held for result in results)
    for line in wrapped(conclusion(results), width_of(console)):
        print_line(console, line, "bold green" if held else "bold red")


def conclusion(results: Sequence[ScenarioResult]) -> str:
    """How many held, and which did not."""
    broken = [result.scenario.regression.id for result in results if not result.held]
    wall_s = sum(result.wall_s for result in results)
    held = len(results) - len(broken)
    what = f"{held} of {counted(len(results), 'regression')} held in {wall_s:.1f} s"
    return f"{what}; not: {', '.join(broken)}" if broken else what


def as_json(results: Sequence[ScenarioResult]) -> str:
    """All details as one JSON object."""
    said = {
        "held": all(result.held for result in results),
        "regressions": [_values(result) for result in results],
    }
    return json.dumps(said, indent=2, ensure_ascii=False)


def as_markdown(results: Sequence[ScenarioResult]) -> str:
    """The table without times, so that it is the same each time."""
    rows = [" | ".join(HEADINGS[:-1]), "|".join(["---"] * (len(HEADINGS) - 1))]
    for result in results:
        cells = _cells(result)
        rows.append(" | ".join(cells[key].replace("|", "\\|") for key in HEADINGS[:-1]))
    return "\n".join(f"| {row} |" if "---" not in row else f"|{row}|" for row in rows)


class Document:
    """A Markdown file with the table of a world between two marks.

    Raises:
        UsageError: it cannot be read, or the marks are not there, once each and in order.
    """

    def __init__(self, path: Path, world: World) -> None:
        begin = f"<!-- made by adpkv regress --world {world} -->"
        self._path, self._world = path, world
        try:
            self.text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
        before, found, rest = self.text.partition(begin)
        _, end, after = rest.partition(END)
        if not found or not end:
            raise UsageError(f"{path}: needs the lines {begin} and {END}")
        self._head, self._tail = f"{before}{begin}\n\n", f"\n\n{END}{after}"

    def rewritten(self, results: Sequence[ScenarioResult]) -> str:
        """Its text with the table made anew."""
        return f"{self._head}{as_markdown(results)}{self._tail}"

    def update(self, results: Sequence[ScenarioResult]) -> None:
        """Write it with the table made anew; as it is by now, for the runs took a while.

        Raises:
            UsageError: it cannot be written, and is what it was.
        """
        text = Document(self._path, self._world).rewritten(results)
        try:
            write_whole(self._path, text)
        except OSError as error:
            raise UsageError(f"{self._path}: cannot write here: {error.strerror}") from error


def _cells(result: ScenarioResult) -> dict[str, str]:
    regression = result.scenario.regression
    before, after = result.before, result.after
    how = told(before.expected)
    return {
        "scenario": f"{regression.id} {regression.title}",
        "reference": ", ".join(regression.references),
        "before": f"reproduced: {how}" if before.held else f"NOT reproduced: {_first(before)}",
        "after": "held" if after.held else f"BROKE: {_first(after)}",
        "time": f"{result.wall_s:.1f} s",
    }


def _first(half: Half) -> str:
    first, *more = half.deviations
    return f"{first}; and {len(more)} more" if more else first


def _values(result: ScenarioResult) -> dict[str, Any]:
    regression = result.scenario.regression
    return {
        "id": regression.id,
        "title": regression.title,
        "references": list(regression.references),
        "file": str(result.scenario.path),
        "world": result.world,
        "held": result.held,
        "before": _half_values(result.before),
        "after": _half_values(result.after),
    }


def _half_values(half: Half) -> dict[str, Any]:
    seen = half.seen
    return {
        "held": half.held,
        "deviations": list(half.deviations),
        "expected": half.expected.model_dump(by_alias=True, exclude_defaults=True),
        "seen": {
            "error": seen.error,
            "message": seen.message,
            "places": [place._asdict() for place in seen.places],
            "ranks": list(seen.ranks),
            "violations": [{"kind": kind, "rank": rank} for kind, rank in seen.violations],
            "outcome": seen.outcome,
            "requests": dict(seen.requests),
            "quarantined": seen.quarantined,
            "leaked": seen.leaked,
        },
        "wall_s": half.wall_s,
    }
