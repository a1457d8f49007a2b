"""A result in a notebook: the closing tables as HTML, or as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from adpkv.output.closing import closing_sentence, closing_tables
from adpkv.output.tables import Table

__all__ = ["html", "markdown"]


def html(summary: Mapping[str, Any]) -> str:
    """The sentence, then the tables; numbers to the right."""
    tables = "\n".join(_html_table(table) for table in closing_tables(summary))
    return f"<p><b>{escape(closing_sentence(summary))}</b></p>\n{tables}"


def markdown(summary: Mapping[str, Any]) -> str:
    """The same as Markdown."""
    tables = [_markdown_table(table) for table in closing_tables(summary)]
    return "\n\n".join([f"**{_plain(closing_sentence(summary))}**", *tables])


def _html_table(table: Table) -> str:
    head = _html_row("th", table, table.head)
    rows = "\n".join(_html_row("td", table, _filled(table, row)) for row in table.rows)
    return f"<table>\n<thead>{head}</thead>\n<tbody>\n{rows}\n</tbody>\n</table>"


def _html_row(tag: str, table: Table, cells: Sequence[str]) -> str:
    told = [
        f'<{tag} style="text-align: {_side(table, at)}">{escape(cell.strip())}</{tag}>'
        for at, cell in enumerate(cells)
    ]
    return f"<tr>{''.join(told)}</tr>"


def _markdown_table(table: Table) -> str:
    rule = ["---:" if _side(table, at) == "right" else ":---" for at in range(len(table.head))]
    rows = [table.head, rule, *(_filled(table, row) for row in table.rows)]
    return "\n".join(f"| {' | '.join(_plain(cell.strip()) for cell in row)} |" for row in rows)


def _side(table: Table, at: int) -> str:
    numbers = range(1, len(table.head)) if table.numbers is None else table.numbers
    return "right" if at in numbers else "left"


def _filled(table: Table, row: Sequence[str]) -> list[str]:
    return [*row, *[""] * (len(table.head) - len(row))]


def _plain(text: str) -> str:
    """Without what Markdown would take for markup."""
    return "".join(f"\\{letter}" if letter in "\\|*_`<[" else letter for letter in text)
