"""The report for people: one screen, outliers first, no wider than the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from adpkv.counting import counted
from adpkv.diagnosis.evidence import Evidence, Position, RankState, State
from adpkv.diagnosis.graph import Edge, RankClass
from adpkv.diagnosis.names import listed, named, verb
from adpkv.diagnosis.report import Report
from adpkv.diagnosis.why import MOST_DIFFERENCES, Row
from adpkv.output.tables import Table, wrapped

__all__ = ["STORY_INDENT", "WIDTH", "report_lines", "report_text"]

WIDTH: Final = 100
LEAST_WIDTH: Final = 40
STORY_INDENT: Final = 2
"""Spaces before each line of a story."""

MOST_CLASSES: Final = 12
MOST_STACKS: Final = 4
MOST_STACK_LINES: Final = 6
MOST_EDGES: Final = 6
MOST_PINS: Final = 6
MOST_NAMED: Final = 5
"""Requests that a list names before it is cut off."""

_WORDS: Final = {
    State.COLLECTIVE: "in",
    State.ALONE: "alone in",
    State.COMPUTING: "computing its own part of",
    State.MOVING: "on its way, last in",
    State.STOPPED: "stopped, last in",
    State.SILENT: "does not answer, last in",
    State.FAILED: "failed, last in",
    State.LEFT: "has left, last in",
    State.UNBEGUN: "has not begun",
}


def report_text(report: Report, width: int | None = None, stories: Sequence[str] = ()) -> str:
    """The whole report as one text."""
    return "\n".join(report_lines(report, width, stories))


def report_lines(
    report: Report, width: int | None = None, stories: Sequence[str] = ()
) -> list[str]:
    """The report's lines. `width` is the window's in columns, None where there is no window.
    `stories` are lines about the requests concerned."""
    columns = max(min(width or WIDTH, WIDTH), LEAST_WIDTH)
    diagnosis, evidence = report.diagnosis, report.evidence
    when = "" if evidence.at_s is None else f" at {evidence.at_s:.6f} s"
    virtual = " of virtual time" if when and evidence.world == "virtual" else ""
    title = f"{diagnosis.kind} in {evidence.name(diagnosis.group)}{when}{virtual}"
    lines = wrapped(title, columns - len("adpkv: "))  # a terminal shows this prefix before it
    lines += ["", *wrapped(diagnosis.sentence, columns, "  ")]
    if evidence.error != "mismatch":
        # A diagnosis says how it began; this says how it was noticed.
        noticed = evidence.message.partition("\n")[0]
        lines += ["", *wrapped(f"noticed: {noticed}", columns, "  ")]
    sections = {
        "why": _why(report, columns),
        "who is where": _classes(report, columns),
        "the last collectives" + (" before the split" if diagnosis.split else ""): _history(
            report.history, columns
        ),
        "who waits for whom": _graph(report, columns),
        "what they hold": _pins(evidence, report, columns),
        "stacks": _stacks(report.classes, columns),
    }
    for title, found in sections.items():
        if found:
            lines += ["", title, *found]
    if stories:
        told = "\n".join((" " * STORY_INDENT + line).rstrip() for line in stories)
        lines += ["", "the requests concerned", *told.rstrip().splitlines()]
    if report.replay:
        lines += ["", f"replay: {report.replay}"]
    return lines


# -- why ---------------------------------------------------------------------------------------


def _why(report: Report, columns: int) -> list[str]:
    diagnosis = report.diagnosis
    shown = report.why[:MOST_DIFFERENCES]
    if not shown:
        known = [
            s for s in report.evidence.rank_states if s.values and s.rank in diagnosis.outliers
        ]
        return ["  none of the compared values differs"] if known and diagnosis.others else []
    head = ["value", named(diagnosis.outliers), named(diagnosis.others)]
    rows = [[d.name, _values(d.outliers), _values(d.others)] for d in shown]
    lines = Table(head, rows, indent="  ").text(columns)
    left = len(report.why) - len(shown)
    return [*lines, f"  and {left} more in deadlock.json"] if left else lines


def _values(values: Sequence[int | str | bool]) -> str:
    told = ["yes" if v is True else "no" if v is False else str(v) for v in values]
    if len(told) > 3 and all(isinstance(value, int) for value in values):
        return f"{told[0]} to {told[-1]}"
    return ", ".join(told[:4]) + (", ..." if len(told) > 4 else "")


# -- who is where ------------------------------------------------------------------------------


def _classes(report: Report, columns: int) -> list[str]:
    shown = report.classes[:MOST_CLASSES]
    numbered = any(c.at is not None and c.at.sequence for c in shown)
    timed = any(c.since_s is not None for c in shown)
    head = ["", "ranks", "where", *(["#"] if numbered else []), "iteration"]
    head += ["for"] if timed else []
    rows = []
    for found in shown:
        at = found.at
        row = ["!" if found.is_outlier else "", listed(found.ranks), _where(found)]
        if numbered:
            row.append(str(at.sequence) if at is not None and at.sequence else "")
        row.append("various" if at is not None and at.iteration < 0 else _iteration(at))
        rows.append([*row, _seconds(found.since_s)] if timed else row)
    lines = Table(head, rows, range(3, len(head)), indent="  ").text(columns)
    rest = report.classes[MOST_CLASSES:]
    if rest:
        ranks = [rank for found in rest for rank in found.ranks]
        lines += wrapped(f"and {named(ranks)} in {len(rest)} other places", columns, "  ")
    return lines


def _where(found: RankClass) -> str:
    word = _WORDS[found.state]
    if found.at is None:
        return word.partition(",")[0]
    return f"{word} {_place(found.at)}"


def _place(at: Position) -> str:
    argument = f" [{at.argument}]" if at.argument else ""
    return f"{at.describe(numbered=False)}{argument}"


def _iteration(at: Position | None) -> str:
    return "" if at is None else str(at.iteration)


def _seconds(since_s: float | None) -> str:
    return "" if since_s is None else f"{since_s:.1f} s"


def _history(rows: Sequence[Row], columns: int) -> list[str]:
    if not rows:
        return []
    numbered = any(row.sequence for row in rows)
    found = []
    before = -1
    for row in rows:
        number = f"#{row.sequence}" if row.sequence and row.sequence != before else ""
        before = row.sequence
        what = "not there" if row.at is None else _place(row.at)
        who = "all" if row.everybody else named(row.ranks)
        told = [what, "" if row.at is None else f"iteration {row.at.iteration}", who]
        mark = "!" if row.is_outlier else ""
        found.append([mark, number, *told] if numbered else [mark, *told])
    return Table((), found, (), indent="  ").text(columns)


# -- the graph, what they hold, stacks -----------------------------------------------------------


def _graph(report: Report, columns: int) -> list[str]:
    graph, lines = report.graph, []
    concerned = {r for c in report.classes if c.concerned for r in c.ranks}
    edges = sorted(graph.edges, key=lambda edge: concerned.isdisjoint(edge.waiting))
    for edge in edges[:MOST_EDGES]:
        lines += wrapped(_edge(edge), columns, "  ")
    if len(edges) > MOST_EDGES:
        lines.append(f"  and {len(edges) - MOST_EDGES} more in deadlock.json")
    if report.evidence.coordinator:
        lines.append(f"  the coordinator {report.evidence.coordinator}")
    if graph.cycle:
        circle = " -> ".join(named(ranks) for ranks in (*graph.cycle, graph.cycle[0]))
        lines += wrapped(f"cycle: {circle}", columns, "  ")
    for ranks in graph.ends[:MOST_EDGES]:
        lines += wrapped(f"{verb(ranks, 'waits', 'wait')} for no other rank", columns, "  ")
    return lines


def _edge(edge: Edge) -> str:
    who = verb(edge.waiting, "waits", "wait")
    ranks = [rank for found in edge.of for rank in found]
    if edge.needs == "all":
        return f"{who} for {named(ranks)}, all of them" if len(ranks) > 1 else _one(who, ranks)
    whom = [*([named(ranks)] if ranks else []), *(["the coordinator"] if edge.coordinator else [])]
    return f"{who} for any input of {' or '.join(whom)}"


def _one(who: str, ranks: Sequence[int]) -> str:
    return f"{who} for {named(ranks)}"


def _pins(evidence: Evidence, report: Report, columns: int) -> list[str]:
    outliers = set(report.diagnosis.outliers)
    holding = [s for s in evidence.rank_states if s.pins.in_flight or s.pins.quarantined]
    holding += [s for s in evidence.rank_states if s.pins.staged and s not in holding]
    holding.sort(key=lambda s: (s.rank not in outliers, s.rank))
    lines = []
    for rank_state in holding[:MOST_PINS]:
        lines += wrapped(f"rank {rank_state.rank}: {_pinned(rank_state)}", columns, "  ")
    if len(holding) > MOST_PINS:
        ranks = [rank_state.rank for rank_state in holding[MOST_PINS:]]
        lines += wrapped(f"and {named(ranks)}, see deadlock.json", columns, "  ")
    return lines


def _pinned(rank_state: RankState) -> str:
    pins = rank_state.pins
    told = [
        f"{what} {_some(requests)}"
        for what, requests in (
            ("in flight", pins.in_flight),
            ("in quarantine", pins.quarantined),
            ("response staged for", pins.staged),
        )
        if requests
    ]
    return "; ".join([*told, f"{counted(pins.blocks, 'block')} held"] if pins.blocks else told)


def _some(requests: Sequence[int]) -> str:
    told = ", ".join(f"r{request}" for request in requests[:MOST_NAMED])
    more = len(requests) - MOST_NAMED
    return f"{told} and {more} more" if more > 0 else told


def _stacks(classes: Sequence[RankClass], columns: int) -> list[str]:
    """Each distinct stack once, innermost frame last."""
    ranks: dict[tuple[str, ...], list[int]] = {}
    for found in classes:
        if found.stack and (found.is_outlier or found.concerned):
            ranks.setdefault(found.stack, []).extend(found.ranks)
    lines = []
    for stack, who in list(ranks.items())[:MOST_STACKS]:
        lines += wrapped(named(who), columns, "  ")
        lines += [f"    {line}"[:columns] for line in stack[-MOST_STACK_LINES:]]
    return lines
