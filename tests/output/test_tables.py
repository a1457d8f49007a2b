"""Tables for any width: nothing is cut, nothing left out."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from adpkv.output.tables import Table, wrapped

BLOCKS = Table(
    ["KV blocks", "total", "in transfer", "leaked"],
    [["context-0", "2,048", "0", "12"], ["generation-1", "16,384", "7", "0"]],
)

WORD = st.text("abcdefgh0123456789", min_size=1, max_size=10)
TEXT = st.lists(WORD, min_size=1, max_size=6).map(" ".join)
FIGURE = st.integers(0, 10**9).map(lambda number: f"{number:,}")


@st.composite
def _tables(draw: st.DrawFn) -> Table:
    numbers = draw(st.lists(st.booleans(), min_size=1, max_size=8))
    head = [draw(TEXT) for _ in numbers]
    row = st.tuples(*(FIGURE if number else TEXT for number in numbers)).map(list)
    rows = draw(st.lists(row, min_size=1, max_size=4))
    places = [place for place, number in enumerate(numbers) if number]
    notes = draw(st.dictionaries(st.integers(0, len(rows) - 1), TEXT, max_size=2))
    naming = draw(st.integers(0, min(2, len(numbers))))
    together = draw(st.lists(st.integers(1, 3), max_size=3))
    indent = draw(st.sampled_from(["", "  "]))
    return Table(head, rows, places, indent, notes, naming, together)


def test_columns_are_aligned_and_no_line_has_blanks_at_its_end() -> None:
    assert BLOCKS.text(None) == [
        "KV blocks      total  in transfer  leaked",
        "context-0      2,048            0      12",
        "generation-1  16,384            7       0",
    ]
    assert BLOCKS.text(80) == BLOCKS.text(None)


def test_a_narrow_window_breaks_headings_first() -> None:
    assert BLOCKS.text(38) == [
        "                            in",
        "KV blocks      total  transfer  leaked",
        "context-0      2,048         0      12",
        "generation-1  16,384         7       0",
    ]


def test_then_columns_go_on_below() -> None:
    assert BLOCKS.text(30) == [
        "                            in",
        "KV blocks      total  transfer",
        "context-0      2,048         0",
        "generation-1  16,384         7",
        "KV blocks     leaked",
        "context-0         12",
        "generation-1       0",
    ]


def test_words_are_broken_between_words_and_numbers_never() -> None:
    table = Table(["what", "for"], [["a rank that waits for the others", "1,024.0 s"]], (1,))
    assert table.text(26) == [
        "what                   for",
        "a rank that      1,024.0 s",
        "waits for the",
        "others",
    ]


def test_where_nothing_else_does_a_row_is_a_sentence() -> None:
    table = Table(["name", "before", "after"], [["first", "reproduced as told", "held"]], ())
    assert table.text(24) == ["first: before reproduced", "  as told, after held"]


def test_all_columns_that_name_a_row_stand_in_each_part() -> None:
    """And in a sentence each has its heading: of a sweep's axes the first had none."""
    row = ["1s", "10", "39", "54.69 ms", "completed"]
    table = Table(["timeout", "rate", "completed", "ttft p50", "outcome"], [row], (2, 3), naming=2)
    assert table.text(33) == [
        "timeout  rate  completed",
        "1s       10           39",
        "timeout  rate  ttft p50",
        "1s       10    54.69 ms",
        "timeout  rate  outcome",
        "1s       10    completed",
    ]
    assert table.text(20) == [
        "timeout 1s, rate 10:",
        "  completed 39, ttft",
        "  p50 54.69 ms,",
        "  outcome completed",
    ]


def test_columns_that_belong_together_stay_together_where_they_can() -> None:
    """And a short heading is not broken: `B - A` stood over three lines."""
    head = ["figure", "A", "B", "B - A", "C", "C - A"]
    table = Table(
        head, [["ttft", "10 ms", "10 ms", "=", "20 ms", "+100%"]], naming=1, together=[1, 2, 2]
    )
    assert table.text(34) == [
        "figure      A      B  B - A",
        "ttft    10 ms  10 ms      =",
        "figure      C  C - A",
        "ttft    20 ms  +100%",
    ]
    assert table.text(16) == [
        "figure      A",
        "ttft    10 ms",
        "figure      B",
        "ttft    10 ms",
        "figure  B - A",
        "ttft        =",
        "figure      C",
        "ttft    20 ms",
        "figure  C - A",
        "ttft    +100%",
    ]


def test_columns_without_any_cell_are_dropped_and_notes_stand_below_their_row() -> None:
    table = Table(["a", "b", "c"], [["1", "", "2"], ["3", "", "4"]], notes={0: "much"})
    assert table.text(None) == ["a  c", "1  2", "  much", "3  4"]


@given(_tables(), st.integers(34, 120))
def test_no_window_loses_a_figure_or_a_word(table: Table, columns: int) -> None:
    lines = table.text(columns)
    assert all(line == line.rstrip() for line in lines)
    assert max(map(len, lines)) <= columns
    said = " ".join(lines).replace(",", " ").replace(":", " ").split()
    for row in table.rows:
        for cell in row:
            assert all(word in said for word in cell.replace(",", " ").split())
    assert all(word in said for note in table.notes.values() for word in note.split())
    figures = [row[i] for row in table.rows for i in table.numbers or ()]
    assert all(figure in " ".join(lines) for figure in figures)


def test_headings_are_bold_on_a_terminal_only() -> None:
    terminal, pipe = io.StringIO(), io.StringIO()
    BLOCKS.show(Console(file=terminal, force_terminal=True, width=80, _environ={"TERM": "xterm"}))
    BLOCKS.show(Console(file=pipe, width=20))
    assert terminal.getvalue().startswith("\x1b[1mKV blocks")
    assert terminal.getvalue().count("\x1b[1m") == 1
    assert pipe.getvalue().splitlines() == BLOCKS.text(None)


def test_a_sentence_goes_on_further_in() -> None:
    assert wrapped("one two three four", 16, "  ", "  ") == ["  one two three", "    four"]
    assert wrapped("one two three four " * 9, None, "  ") == ["  " + "one two three four " * 9]
