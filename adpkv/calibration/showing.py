"""The errors of a calibration as a table, and the calibration as a section of an experiment."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

import yaml

from adpkv.calibration.calling import Calibration
from adpkv.calibration.errors import FIGURES, Error
from adpkv.output.tables import Table, print_line, width_of, wrapped
from adpkv.terminal import console_for

__all__ = ["as_text", "as_told", "as_values", "show_errors"]


def as_text(calibration: Calibration, version: str) -> str:
    """The section as it stands in an experiment's file, with a comment that says where it is
    from."""
    section = calibration.section.model_dump(mode="json", by_alias=True)
    where = f"measured by adpkv {version} on {', '.join(calibration.experiments)}"
    told = "\n".join(wrapped(f"{where}: {_room(calibration)}", 97))
    comment = "".join(f"# {line}\n" for line in told.splitlines())
    text: str = yaml.safe_dump({"calibration": section}, sort_keys=False)
    return comment + text


def _room(calibration: Calibration) -> str:
    shared = calibration.ranks_per_core
    if not calibration.is_told:
        return f"{shared:g} ranks on a core at most, as not all its runs say how many shared one"
    return "a core for each rank" if shared <= 1 else f"{shared:g} ranks on a core"


def as_told(written: Sequence[Path], found: Sequence[Calibration]) -> list[str]:
    """Where each calibration is, and what for."""
    if len(found) == 1:
        return [f"calibration: {written[0]}; append it to an experiment's file to simulate with it"]
    each = [
        f"calibration: {path}, for {_room(one)}" for path, one in zip(written, found, strict=True)
    ]
    return [*each, "append one to an experiment's file to simulate with it"]


def show_errors(stream: TextIO, errors: Sequence[Error]) -> None:
    """A line for each experiment and figure: real, simulated, signed error, bar."""
    console = console_for(stream)
    rows = []
    for name in dict.fromkeys(one.experiment for one in errors):
        for one in errors:
            if one.experiment == name:
                rows.append(_row(one))
    # One column says which: in a narrow window it stands before the columns that go on below.
    headings = ["figure", "real runs", "real ms", "simulated ms", "error", "without", "spread",
                "bar", "within"]  # fmt: skip
    Table(headings, rows).show(console)
    held = [one for one in errors if one.bar is not None]
    met = sum(one.is_met for one in held)
    said = (
        f"{met} of {len(held)} figures are within their bar: 5 % at the median of ttft and tpot"
        " and of the makespan, 10 % at p99, or twice the spread between real runs"
    )
    for line in wrapped(said, width_of(console)):
        print_line(console, line)


def _row(one: Error) -> list[str]:
    bar = "" if one.bar is None else f"{one.bar:.1%}"
    within = "" if one.bar is None else ("yes" if one.is_met else "no")
    return [
        f"{one.experiment} {one.figure}", str(one.runs), f"{one.real_s * 1e3:,.3f}",
        f"{one.simulated_s * 1e3:,.3f}", f"{one.error:+.1%}", f"{one.before:+.1%}",
        f"{one.spread:.1%}" if one.runs > 1 else "", bar, within,
    ]  # fmt: skip


def as_values(found: Sequence[Calibration], errors: Sequence[Error]) -> dict[str, Any]:
    """The same for programs."""
    return {
        "calibrations": [
            {
                "ranks_per_core": one.ranks_per_core if one.is_told else None,
                "experiments": one.experiments,
                "calibration": one.section.model_dump(mode="json", by_alias=True),
            }
            for one in found
        ],
        "figures": list(FIGURES),
        "errors": [
            {
                "experiment": one.experiment,
                "figure": one.figure,
                "real_runs": one.runs,
                "real_s": one.real_s,
                "simulated_s": one.simulated_s,
                "error": one.error,
                "error_without_calibration": one.before,
                "spread": one.spread if one.runs > 1 else None,
                "bar": one.bar,
                "within": None if one.bar is None else one.is_met,
            }
            for one in errors
        ],
    }
