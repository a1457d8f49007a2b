"""Tables as text for any width: numbers are never cut, and no column is ever left out.

A table that is wider than its window first breaks its headings, then its words, between words. If
that does not do, one of numbers, or one that says which columns name its rows, goes on below with
the columns that did not fit, and one of words tells each row as a sentence. Where there is no
window (a pipe, a log) lines are as long as they are. Not rich's own tables: those cut what does not
fit.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from adpkv.terminal import Console

import msgspec

__all__ = ["Line", "Table", "print_line", "width_of", "wrapped"]

GAP: Final = "  "
LEAST_WORDS: Final = 12
"""Columns that a column of words keeps at least: narrower text is no text any more."""

MOST_WORD: Final = 24
"""A longer single word may be broken."""

LEAST_COLUMNS: Final = 16
"""A narrower window is treated as one of this width."""

SHORT_HEAD: Final = 6
"""A heading no longer than this is not broken: `B - A` over three lines is no heading."""


class Line(NamedTuple):
    """One line of a table; `head` where it has the headings."""

    text: str
    head: bool = False


class Table(msgspec.Struct, frozen=True):
    """Rows under headings. A missing cell at a row's end is empty."""

    head: Sequence[str]
    """Empty where there are no headings."""
    rows: Sequence[Sequence[str]]
    numbers: Collection[int] | None = None
    """Which columns are aligned right and never broken; all but the first if None."""
    indent: str = ""
    notes: Mapping[int, str] = msgspec.field(default_factory=dict)
    """What is said below a row, by its place."""
    naming: int = 0
    """So many columns at the left name a row, and stand in each part of a table that is too wide; 0
    if the first does where all others are numbers."""
    together: Sequence[int] = ()
    """How many of the columns behind those belong together, from left to right: a part has all of
    them if it can."""

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
    """A sentence over as many lines as it takes; those behind the first stand `hang` further in. A
    word that is longer than a line, as a path, stands whole: it is to be copied."""
    if columns is None or len(indent) + len(text) <= columns:
        return [indent + text]
    return textwrap.wrap(
        text,
        max(columns, LEAST_COLUMNS),
        initial_indent=indent,
        subsequent_indent=indent + hang,
        break_long_words=False,
        break_on_hyphens=False,
    )


class _Grid(msgspec.Struct, frozen=True):
    """A table's cells as a rectangle."""

    head: list[str]
    rows: list[list[str]]
    numbers: frozenset[int]
    indent: str
    notes: Mapping[int, str]
    naming: Sequence[int] = ()
    groups: Sequence[Sequence[int]] = ()
    """The columns behind those, by what belongs together."""

    @classmethod
    def of(cls, table: Table) -> _Grid:
        """Columns without any cell are dropped."""
        count = max(map(len, [table.head, *table.rows]), default=0)
        head = [*table.head, *[""] * (count - len(table.head))]
        rows = [[*row, *[""] * (count - len(row))] for row in table.rows]
        numbers = range(1, count) if table.numbers is None else table.numbers
        used = [i for i in range(count) if any(row[i] for row in rows) or (head[i] and not rows)]
        place = {i: at for at, i in enumerate(used)}
        return cls(
            [head[i] for i in used],
            [[row[i] for i in used] for row in rows],
            frozenset(place[i] for i in used if i in numbers),
            table.indent,
            table.notes,
            [place[i] for i in used if i < table.naming],
            [[place[i] for i in group if i in place] for group in _groups(table, count)],
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
        widths = self._widest(_narrowest_head)
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
        """Several tables, each with the columns that name its rows and as many others as fit. None
        where those are not told and the first is not the only one of words, where there are notes,
        or where one alone does not fit."""
        widths = self._widest(_narrowest_head)
        naming, groups = list(self.naming), [list(group) for group in self.groups if group]
        if not naming and self.numbers == frozenset(range(1, len(widths))):
            naming, groups = [0], [[i] for i in range(1, len(widths))]
        if not naming or self.notes:
            return []
        lines: list[Line] = []
        while groups:
            taken = list(naming)
            while groups and self.width([widths[i] for i in [*taken, *groups[0]]]) <= columns:
                taken += groups.pop(0)
            if len(taken) > len(naming):
                lines += self.only(taken).laid_out([widths[i] for i in taken], columns)
            elif len(groups[0]) > 1:
                groups[:1] = [[i] for i in groups[0]]
            else:
                return []
        return lines

    def told(self, columns: int) -> list[Line]:
        """Each row as a sentence: what names it, then the others behind their headings."""
        lines: list[Line] = []
        for place, row in enumerate(self.rows):
            cells = [
                f"{head} {cell}".strip() if cell else ""
                for head, cell in zip(self.head, row, strict=True)
            ]
            many = len(self.naming)
            name = ", ".join(filter(None, cells[:many])) if many else row[0]
            rest = ", ".join(filter(None, cells[many or 1 :]))
            first = f"{name}: " if name and rest else name
            sentence = wrapped(first + rest, columns, self.indent, GAP)
            if place in self.notes:
                sentence += wrapped(self.notes[place], columns, self.indent + GAP)
            lines += map(Line, sentence)
        return lines


def _groups(table: Table, count: int) -> list[list[int]]:
    left = list(range(table.naming, count))
    groups = []
    for size in table.together:
        groups.append(left[:size])
        left = left[size:]
    return groups + [[i] for i in left]


def _narrowest_head(text: str) -> int:
    return len(text) if len(text) <= SHORT_HEAD else _longest_word(text)


def _longest_word(text: str) -> int:
    return max(map(len, text.split()), default=0)
