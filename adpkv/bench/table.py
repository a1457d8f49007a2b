"""Showing figures: a table for people, JSON for pipelines."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import IO, Final

import msgspec

from adpkv.bench.figure import Figure
from adpkv.output.tables import Table, print_line, width_of, wrapped
from adpkv.terminal import console_for

__all__ = ["as_json", "number", "show", "table"]

HEADINGS: Final = ("figure", "value", "unit", "reference", "ratio", "target", "met")


def number(value: float | None) -> str:
    """Three or four digits that matter; nothing for nothing."""
    if value is None:
        return ""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def table(figures: Sequence[Figure]) -> Table:
    """One row a figure, its note below it."""
    rows = []
    for one in figures:
        reference = f"{number(one.reference)} {one.reference_name}".strip()
        met = {None: "", True: "yes", False: "NO"}[one.met]
        row = [one.name, number(one.value), one.unit, reference, number(one.ratio)]
        rows.append([*row, one.target, met])
    notes = {place: one.note for place, one in enumerate(figures) if one.note}
    return Table(HEADINGS, rows, numbers=(1, 4), notes=notes)


def show(stream: IO[str], figures: Sequence[Figure], skipped: Mapping[str, str]) -> None:
    """The table, then what was left out and why."""
    console = console_for(stream)
    table(figures).show(console)
    for name, why in skipped.items():
        for line in wrapped(f"{name} left out: {why}", width_of(console), hang="  "):
            print_line(console, line)


def as_json(figures: Sequence[Figure], skipped: Mapping[str, str]) -> str:
    """The same as one JSON object."""
    said = {"figures": msgspec.to_builtins(figures), "skipped": dict(skipped)}
    return json.dumps(said, indent=2, ensure_ascii=False)
