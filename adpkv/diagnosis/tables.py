"""Aligned columns that stay readable in a narrow window."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Final

__all__ = ["aligned", "wrapped"]

GAP: Final = "  "
INDENT: Final = "  "


def wrapped(text: str, columns: int, indent: str = "") -> list[str]:
    """A sentence over as many lines as it takes."""
    return textwrap.wrap(
        text,
        columns,
        initial_indent=indent,
        subsequent_indent=indent,
        break_on_hyphens=False,
    )


def aligned(rows: Sequence[Sequence[str]], columns: int, keep: int) -> list[str]:
    """Rows as columns; the first `keep` of each are text, those behind are numbers. A cell that is
    too long for the window takes several lines; where even that does not do, each row becomes a
    line of its own with its cells one after the other."""
    count = max(map(len, rows))
    cells = [[*row, *[""] * (count - len(row))] for row in rows]
    used = [i for i in range(count) if any(row[i] for row in cells)]
    cells = [[row[i] for i in used] for row in cells]
    count, keep = len(used), sum(i < keep for i in used)
    widths = [max(len(row[i]) for row in cells) for i in range(count)]
    over = len(INDENT) + sum(widths) + len(GAP) * (count - 1) - columns
    widest = max(range(count), key=lambda i: widths[i])
    if over > 0 and widths[widest] - over >= max(16, len(cells[0][widest])):
        widths[widest] -= over
    elif over > 0:
        return _stacked(cells, columns)
    lines = []
    for row in cells:
        broken = [
            textwrap.wrap(cell, width) or [""] for cell, width in zip(row, widths, strict=True)
        ]
        for at in range(max(map(len, broken))):
            parts = [part[at] if at < len(part) else "" for part in broken]
            told = [
                part.ljust(width) if i < keep else part.rjust(width)
                for i, (part, width) in enumerate(zip(parts, widths, strict=True))
            ]
            lines.append((INDENT + GAP.join(told)).rstrip())
    return lines


def _stacked(cells: Sequence[Sequence[str]], columns: int) -> list[str]:
    lines = []
    for row in cells:
        told = ", ".join(cell for cell in row if cell)
        lines += textwrap.wrap(told, columns, initial_indent=INDENT, subsequent_indent=INDENT + GAP)
    return lines
