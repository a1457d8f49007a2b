"""Showing figures: a table for people, JSON for pipelines."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import IO, TYPE_CHECKING

import msgspec

from adpkv.bench.figure import Figure
from adpkv.observe.screen import console_for

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["as_json", "number", "show", "table"]

NARROW_COLUMNS = 120
"""Where nobody says how wide the screen is, lines are this long."""


def number(value: float | None) -> str:
    """Three or four digits that matter; nothing for nothing."""
    if value is None:
        return ""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def table(figures: Sequence[Figure]) -> Table:
    """One row a figure, its note below it."""
    from rich.table import Table

    rows = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("figure", "value", "unit", "reference", "ratio", "target", "met"):
        right = heading in ("value", "ratio")
        rows.add_column(heading, justify="right" if right else "left", overflow="fold")
    for one in figures:
        reference = number(one.reference)
        if one.reference_name:
            reference = f"{reference} {one.reference_name}".strip()
        met = {None: "", True: "yes", False: "NO"}[one.met]
        name = f"{one.name}\n  [dim]{one.note}[/dim]" if one.note else one.name
        rows.add_row(
            name, number(one.value), one.unit, reference, number(one.ratio), one.target, met
        )
    return rows


def show(stream: IO[str], figures: Sequence[Figure], skipped: Mapping[str, str]) -> None:
    """The table, then what was left out and why."""
    console = console_for(stream)
    if not console.is_terminal:
        console.width = NARROW_COLUMNS
    console.print(table(figures), highlight=False)
    for name, why in skipped.items():
        console.print(f"{name} left out: {why}", markup=False, highlight=False)


def as_json(figures: Sequence[Figure], skipped: Mapping[str, str]) -> str:
    """The same as one JSON object."""
    said = {"figures": msgspec.to_builtins(figures), "skipped": dict(skipped)}
    return json.dumps(said, indent=2, ensure_ascii=False)
