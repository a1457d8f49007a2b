"""Tables as text for any width: numbers are never cut, and no column is ever left out.

A table that is wider than its window first breaks its headings, then its words, between words. If
that does not do, one of numbers goes on below with the columns that did not fit, and one of words
tells each row as a sentence. Where there is no window (a pipe, a log) lines are as long as they
are. Not rich's own tables: those cut what does not fit.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from adpkv.terminal import Console

__all__ = ["Line", "Table", "print_line", "width_of", "wrapped"]

GAP: Final = "  "
LEAST_WORDS: Final = 12
"""Columns that a column of words keeps at least: narrower text is no text any more."""

MOST_WORD: Final = 24
"""A longer single word may be broken."""

LEAST_COLUMNS: Final = 16
"""A narrower window is treated as one of this width."""


class Line(NamedTuple):
    """One line of a table; `head` where it has the headings."""

    text: str
    head: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under headings. A missing cell at a row's end is empty."""

    head: Sequence[str]
    """Empty where there are no headings."""
    rows: Sequence[Sequence[str]]
    numbers: Collection[int] | None = None
    """Which columns are aligned right and never broken; all but the first if None."""
    indent: str = ""
    notes: Mapping[int, str] = field(default_factory=dict)
    """What is said below a row, by its place."""

    def lines(self, columns: int | None) -> list[Line]:
        """The table for a window so wide; None where there is none."""
        grid = _Grid.of(self)
        if columns is None:
            return grid.laid_out(grid.natural(), None)
        columns = max(columns, LEAST_COLUMNS)
        for widths in (grid.natural(), grid.squeezed(columns)):
            if grid.width(widths) <= columns:
                return grid.laid_out(widths, columns)
        return grid.panels(columns) or grid.told(columns)

    def text(self, columns: int | None) -> list[str]:
        """The same as plain strings."""
        return [line.text for line in self.lines(columns)]

    def show(self, console: Console) -> None:
        """Print it as wide as the console's terminal, headings bold."""
        for line in self.lines(width_of(console)):
            print_line(console, line.text, "bold" if line.head else "")


def width_of(console: Console) -> int | None:
    """The width of its terminal; None where it is none."""
    return console.width if console.is_terminal else None


def print_line(console: Console, text: str, style: str = "") -> None:
    """Print text as it stands: nothing in it is markup, and nobody breaks it again."""
    console.print(
        text, style=style or None, markup=False, highlight=False, emoji=False, soft_wrap=True
    )


def wrapped(text: str, columns: int | None, indent: str = "", hang: str = "") -> list[str]:
    """A sentence over as many lines as it takes; those behind the first stand `hang` further in."""
    if columns is None or len(indent) + len(text) <= columns:
        return [indent + text]
    return textwrap.wrap(
        text,
        max(columns, LEAST_COLUMNS),
        initial_indent=indent,
        subsequent_indent=indent + hang,
        break_on_hyphens=False,
    )


@dataclass(frozen=True, slots=True)
class _Grid:
    """A table's cells as a rectangle."""

    head: list[str]
    rows: list[list[str]]
    numbers: frozenset[int]
    indent: str
    notes: Mapping[int, str]

    @classmethod
    def of(cls, table: Table) -> _Grid:
        """Columns without any cell are dropped."""
        count = max(map(len, [table.head, *table.rows]), default=0)
        head = [*table.head, *[""] * (count - len(table.head))]
        rows = [[*row, *[""] * (count - len(row))] for row in table.rows]
        numbers = range(1, count) if table.numbers is None else table.numbers
        used = [i for i in range(count) if any(row[i] for row in rows) or (head[i] and not rows)]
        return cls(
            [head[i] for i in used],
            [[row[i] for i in used] for row in rows],
            frozenset(at for at, i in enumerate(used) if i in numbers),
            table.indent,
            table.notes,
        )

    def only(self, places: Sequence[int]) -> _Grid:
        """Some of the columns, without notes."""
        return _Grid(
            [self.head[i] for i in places],
            [[row[i] for i in places] for row in self.rows],
            frozenset(at for at, i in enumerate(places) if i in self.numbers),
            self.indent,
            {},
        )

    def natural(self) -> list[int]:
        """Widths with which nothing is broken."""
        return self._widest(len)

    def _widest(self, of_head: Callable[[str], int]) -> list[int]:
        return [
            max([of_head(head), *(len(row[i]) for row in self.rows)])
            for i, head in enumerate(self.head)
        ]

    def width(self, widths: Sequence[int]) -> int:
        """Of the whole table."""
        return len(self.indent) + sum(widths) + len(GAP) * (len(widths) - 1)

    def squeezed(self, columns: int) -> list[int]:
        """Headings broken, and columns of words as much narrower as they must and can be, the
        widest first."""
        widths = self._widest(_longest_word)
        least = [
            width if i in self.numbers else min(width, max(LEAST_WORDS, self._unbroken(i)))
            for i, width in enumerate(widths)
        ]
        while self.width(widths) > columns:
            loose = [i for i in range(len(widths)) if widths[i] > least[i]]
            if not loose:
                break
            widths[max(loose, key=lambda i: widths[i])] -= 1
        return widths

    def _unbroken(self, column: int) -> int:
        words = max(_longest_word(text) for text in (r[column] for r in [self.head, *self.rows]))
        return min(words, MOST_WORD)

    def laid_out(self, widths: Sequence[int], columns: int | None) -> list[Line]:
        """The lines with these widths."""
        lines = []
        if any(self.head):
            lines += [Line(text, head=True) for text in self._row(self.head, widths, low=True)]
        for place, row in enumerate(self.rows):
            lines += map(Line, self._row(row, widths))
            if place in self.notes:
                lines += map(Line, wrapped(self.notes[place], columns, self.indent + GAP))
        return lines

    def _row(self, row: Sequence[str], widths: Sequence[int], *, low: bool = False) -> list[str]:
        """One row's lines; headings stand `low`, on their numbers."""
        cells = [
            textwrap.wrap(cell, width, break_on_hyphens=False) if width else []
            for cell, width in zip(row, widths, strict=True)
        ]
        height = max([1, *map(len, cells)])
        lines = []
        for at in range(height):
            told = []
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True)):
                from_top = at - (height - len(cell)) if low else at
                part = cell[from_top] if 0 <= from_top < len(cell) else ""
                told.append(part.rjust(width) if i in self.numbers else part.ljust(width))
            lines.append((self.indent + GAP.join(told)).rstrip())
        return lines

    def panels(self, columns: int) -> list[Line]:
        """Several tables, each with the first column and as many others as fit; empty where the
        first is not the only one of words, where there are notes, or where none fits."""
        widths = self._widest(_longest_word)
        if self.numbers != frozenset(range(1, len(widths))) or self.notes:
            return []
        lines: list[Line] = []
        left = list(range(1, len(widths)))
        while left:
            taken = [0]
            while left and self.width([widths[i] for i in [*taken, left[0]]]) <= columns:
                taken.append(left.pop(0))
            if len(taken) == 1:
                return []
            panel = self.only(taken)
            lines += panel.laid_out([widths[i] for i in taken], columns)
        return lines

    def told(self, columns: int) -> list[Line]:
        """Each row as a sentence: its first cell, then the others behind their headings."""
        lines: list[Line] = []
        for place, row in enumerate(self.rows):
            pairs = zip(self.head[1:], row[1:], strict=True)
            rest = ", ".join(f"{head} {cell}".strip() for head, cell in pairs if cell)
            first = f"{row[0]}: " if row[0] and rest else row[0]
            sentence = wrapped(first + rest, columns, self.indent, GAP)
            if place in self.notes:
                sentence += wrapped(self.notes[place], columns, self.indent + GAP)
            lines += map(Line, sentence)
        return lines


def _longest_word(text: str) -> int:
    return max(map(len, text.split()), default=0)
