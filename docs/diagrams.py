"""The state diagrams and tables of docs/contract.md, made from the core's tables so that they
stay true.

`python docs/diagrams.py` rewrites what stands between each pair of marks in the file; a test says
when that is due. A diagram shows what moves: an event that leaves a state as it is has a line in
the table only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from adpkv.core.admission import ADMISSION, Action, AdmissionLine, AdmissionState
from adpkv.core.request import TABLE, RequestLine, RequestState
from adpkv.core.session import TABLES, Line, Role, State, Table
from adpkv.errors import UsageError

__all__ = ["DOCUMENT", "PARTS", "rewritten"]

DOCUMENT: Final = Path(__file__).with_name("contract.md")

BEGIN: Final = "<!-- {name}: made by python docs/diagrams.py -->"
END: Final = "<!-- end of {name} -->"

NOTHING: Final = "-"

AnyTable = Mapping[Any, Mapping[Any, Any]]
"""State -> event -> line, or None for what is impossible."""

Columns = Mapping[str, Callable[[Any], str]]
"""Heading -> how a line is told in that column."""


def receiver() -> str:
    """A receiver's session."""
    return _session(TABLES[Role.RECEIVER], State.WAITING)


def sender() -> str:
    """A sender's session."""
    return _session(TABLES[Role.SENDER], State.PREPARED)


def _session(table: Table, first: State) -> str:
    columns: dict[str, Callable[[Line], str]] = {
        "next": lambda line: line.state,
        "blocks": lambda line: line.blocks,
        "client is told": lambda line: line.outcome or NOTHING,
        "to do": lambda line: _texts(line.orders),
        "": lambda line: "late" if line.late else "",
    }
    return _drawn(table, first) + "\n\n" + _table(table, columns)


def request() -> str:
    """A request on its rank."""
    columns: dict[str, Callable[[RequestLine], str]] = {
        "next": lambda line: line.state,
        "client is told": lambda line: line.outcome or NOTHING,
    }
    return _drawn(TABLE, RequestState.WAITING) + "\n\n" + _table(TABLE, columns)


def admission() -> str:
    """A request at the coordinator."""
    columns: dict[str, Callable[[AdmissionLine], str]] = {
        "next": lambda line: line.state,
        "the coordinator": lambda line: (
            NOTHING if line.action is Action.NOTHING else _text(line.action)
        ),
    }
    return _drawn(ADMISSION, AdmissionState.ARRIVED) + "\n\n" + _table(ADMISSION, columns)


PARTS: Final[Mapping[str, Callable[[], str]]] = {
    "receiver": receiver,
    "sender": sender,
    "request": request,
    "admission": admission,
}
"""What stands between the marks of each name."""


def _text(name: str) -> str:
    return name.replace("_", " ")


def _texts(names: Iterable[str]) -> str:
    return ", ".join(_text(name) for name in names) or NOTHING


def _drawn(table: AnyTable, first: str) -> str:
    """A Mermaid diagram; the events between two states share an arrow."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for state, lines in table.items():
        for event, line in lines.items():
            if line is not None and line.state != state:
                arrows.setdefault((state, line.state), []).append(_text(event))
    left = {state for state, _ in arrows}
    found = ["```mermaid", "stateDiagram-v2", f"    [*] --> {first}"]
    found += [f"    {a} --> {b}: {', '.join(events)}" for (a, b), events in arrows.items()]
    found += [f"    {state} --> [*]" for state in table if state not in left]
    return "\n".join([*found, "```"])


def _table(table: AnyTable, columns: Columns) -> str:
    """A Markdown table of all lines: states whose lines are alike share a row."""
    rows: dict[tuple[str, ...], list[str]] = {}
    for state, lines in table.items():
        for cells, events in _alike(state, lines, columns).items():
            told = "anything" if len(events) == len(lines) else ", ".join(events)
            rows.setdefault((told, *cells), []).append(_text(state))
    heads = ["state", "event", *columns]
    found = [_row(heads), "|---" * len(heads) + "|"]
    return "\n".join([*found, *(_row([", ".join(states), *row]) for row, states in rows.items())])


def _alike(
    state: str, lines: Mapping[Any, Any], columns: Columns
) -> dict[tuple[str, ...], list[str]]:
    """A state's lines as cells, each with the events that have it."""
    found: dict[tuple[str, ...], list[str]] = {}
    for event, line in lines.items():
        if line is None:
            cells = ["impossible"] + [""] * (len(columns) - 1)
        else:
            cells = [_text(tell(line)) for tell in columns.values()]
            if line.state == state:
                cells[0] = "unchanged"
        found.setdefault(tuple(cells), []).append(_text(event))
    return found


def _row(cells: Iterable[str]) -> str:
    return "|" + "".join(f" {cell} |" if cell else " |" for cell in cells)


def rewritten(text: str) -> str:
    """`text` with each part as the core's tables have it now.

    Raises:
        UsageError: the marks of a part are not there.
    """
    for name, make in PARTS.items():
        begin, end = BEGIN.format(name=name), END.format(name=name)
        found = re.search(f"{re.escape(begin)}\n.*?{re.escape(end)}", text, re.DOTALL)
        if found is None:
            raise UsageError(f"the document needs the lines {begin} and {end}")
        text = f"{text[: found.start()]}{begin}\n\n{make()}\n\n{end}{text[found.end() :]}"
    return text


def main() -> None:
    """Rewrite the document in place."""
    text = DOCUMENT.read_text(encoding="utf-8")
    DOCUMENT.write_text(rewritten(text), encoding="utf-8")


if __name__ == "__main__":
    main()
