"""The report about a failed schedule for people: as text, in the program's own terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from adpkv.counting import counted
from adpkv.diagnosis.names import named, verb
from adpkv.output.tables import Table, wrapped
from adpkv.rank_programs.classify import HAS, Diagnosis
from adpkv.rank_programs.evidence import Evidence, RankView
from adpkv.rank_programs.failure import What
from adpkv.rank_programs.race_report import told_races
from adpkv.rank_programs.report import Report, Why
from adpkv.rank_programs.sites import operation_text, short, where
from adpkv.rank_programs.variables import line_of

__all__ = ["as_failure", "render"]

MOST_VARIABLES: Final = 6
MOST_RANKS: Final = 12

MOST_OUTPUT: Final = 5


def render(report: Report, columns: int | None) -> str:
    """The report for people, as wide as their window; None where there is none."""
    lines = [_headline(report), *wrapped(report.diagnosis.sentence, columns)]
    return "\n".join(lines + _below_the_sentence(report, columns))


def as_failure(report: Report, columns: int | None) -> str:
    """The same with kind and sentence in one paragraph: pytest's summary has the first line
    alone."""
    lines = wrapped(f"{_headline(report)}: {report.diagnosis.sentence}", columns)
    return "\n".join(lines + _below_the_sentence(report, columns))


def _headline(report: Report) -> str:
    what, kind = report.evidence.failure.what.value, report.diagnosis.kind.value
    # `unwaited operation` says more than `unwaited`, of which it is one.
    return kind if kind.startswith(what) else f"{what}: {kind}"


def _below_the_sentence(report: Report, columns: int | None) -> list[str]:
    evidence, diagnosis = report.evidence, report.diagnosis
    lines: list[str] = []
    if report.unending:
        lines += wrapped(report.unending, columns)
    sections: Mapping[str, list[str]] = {
        "traceback": _tracebacks(evidence, columns),
        "why": [] if report.why is None else _why(report.why, report, columns),
        "which message came first": told_races(report.races, columns),
        "who is where": _ranks(evidence, diagnosis, columns),
        "positions": _positions(evidence, columns),
        "last output": _output(evidence, diagnosis),
    }
    for title, found in sections.items():
        if found:
            lines += ["", title, *found]
    number = counted(report.choices, "choice")
    switches = counted(evidence.switches, "context switch")
    away = f"{number} away from the plain schedule, {switches}"
    lines += ["", f"replay ({away}): {report.replay}"]
    if report.smaller is not None:
        lines.append(
            f"the same with {counted(report.smaller.ranks, 'rank')}: {report.smaller.replay}"
        )
    return lines


def _tracebacks(evidence: Evidence, columns: int | None) -> list[str]:
    """The failing rank's own; the others have a line each below."""
    if evidence.failure.what not in (What.EXCEPTION, What.REFUSED):
        return []
    view = evidence.ranks[evidence.failure.rank]
    return [f"  {line}" for line in view.error]


def _why(why: Why, report: Report, columns: int | None) -> list[str]:
    diagnosis, ranks = report.diagnosis, report.evidence.ranks
    others = [rank for rank in (*diagnosis.odd, *diagnosis.others) if rank not in why.alike]
    lines = []
    if why.parted and why.parted != diagnosis.position:
        lines += wrapped(_parted(why, others), columns, "  ")
    place = f"{short(why.file)}:{why.line} in {why.function}"
    lines += wrapped(f"{place}:", columns, "  ")
    lines.append(f"      {line_of(why.file, why.line)}")
    if why.odd_next != why.others_next:
        # The others need not all have gone the same way; what is said is true of these.
        went = [rank for rank in others if rank in why.like_other] or [why.other]
        for who, line in ((why.alike, why.odd_next), (went, why.others_next)):
            waits = not line and all(_waits_there(ranks[rank], why) for rank in who)
            lines += _way(who, why.file, line, columns, waits=waits)
    if why.variables:
        lines += _variables(why, others, columns)
    return lines


def _parted(why: Why, others: Sequence[int]) -> str:
    """At which position, and how that could go unnoticed."""
    told = f"they parted before position {why.parted}"
    mine, theirs = why.odd_there, why.other_there
    if mine is None or theirs is None:
        return told
    if where(mine) == where(theirs):
        ahead = f"which {named(why.alike)} and {named(others)} come to in different passes"
        return f"{told}, {operation_text(mine)} at {where(mine)}, {ahead}"
    return (
        f"{told}, to which {named(why.alike)} came at {where(mine)}, {named(others)} at"
        f" {where(theirs)}"
    )


def _waits_there(view: RankView, why: Why) -> bool:
    """Is the rank still in this line?"""
    here = (why.file, why.line)
    return view.state == "waits" and any((site.file, site.line) == here for site in view.stack)


def _way(
    ranks: Sequence[int], file: str, line: int, columns: int | None, *, waits: bool
) -> list[str]:
    if not ranks:
        return []
    if waits:
        return wrapped(f"{verb(ranks, 'waits', 'wait')} in this line", columns, "  ")
    if not line:
        return wrapped(f"{verb(ranks, 'left', 'left')} the function", columns, "  ")
    told = f"{verb(ranks, 'went', 'went')} on to line {line}: {line_of(file, line)}"
    return wrapped(told, columns, "  ")


def _variables(why: Why, others: Sequence[int], columns: int | None) -> list[str]:
    head = ["value", named(why.alike), named(others)]
    rows = [
        [name, _each(values, why.alike), _each(values, others)]
        for name, values in why.variables[:MOST_VARIABLES]
    ]
    return Table(head, rows, (), indent="  ").text(columns)


def _each(values: dict[int, str], ranks: Sequence[int]) -> str:
    """The one value that all of them have, or whose is which."""
    whose: dict[str, list[int]] = {}
    for rank in ranks:
        if rank in values:
            whose.setdefault(values[rank], []).append(rank)
    if not whose:
        return "-"
    if len(whose) == 1 and all(rank in values for rank in ranks):
        return next(iter(whose))
    found = [f"{text} on {named(who)}" for text, who in whose.items()]
    return ", ".join(found[:4]) + (", ..." if len(found) > 4 else "")


def _ranks(evidence: Evidence, diagnosis: Diagnosis, columns: int | None) -> list[str]:
    """Ranks in the same place in one line; one to blame is not among others."""
    ways: dict[tuple[bool, tuple[str, str, str]], list[int]] = {}
    for view in evidence.ranks:
        key = view.rank not in diagnosis.odd, _way_of(evidence, view)
        ways.setdefault(key, []).append(view.rank)
    order = sorted(ways.items(), key=lambda item: (item[0][0], item[1]))
    rows = []
    for (other, (does, at, source)), ranks in order[:MOST_RANKS]:
        told = does if len(ranks) == 1 else _of_several(does)
        rows.append(["" if other else "!", named(ranks), told, at, source])
    table = Table(["", "ranks", "does", "at", "line"], rows, (), indent="  ")
    lines = table.text(None)
    if columns is not None and max(map(len, lines)) > columns:
        lines = _below(rows, columns)  # a table would break places and lines of code
    if len(order) > MOST_RANKS:
        lines.append(f"  and {len(order) - MOST_RANKS} more in --json")
    return lines


_SEVERAL: Final = {"waits": "wait", "runs": "run", "has": "have", "was": "were"}
"""What one rank does, and what several do."""


def _of_several(does: str) -> str:
    first, space, rest = does.partition(" ")
    return f"{_SEVERAL.get(first, first)}{space}{rest}"


def _below(rows: Sequence[Sequence[str]], columns: int) -> list[str]:
    """The same where a window is too narrow for the table: the place below what a rank does."""
    lines = []
    for mark, ranks, does, at, source in rows:
        lines += wrapped(f"{mark or ' '} {ranks}: {does}", columns, "  ", "    ")
        if at:
            lines += wrapped(f"{at}: {source}", columns, "      ", "  ")
    return lines


def _way_of(evidence: Evidence, view: RankView) -> tuple[str, str, str]:
    at = view.at
    died = next((kill.at for kill in evidence.killed if kill.rank == view.rank), None)
    if died is not None:
        return f"was killed at {operation_text(died)}", where(died), line_of(died.file, died.line)
    if view.state == "waits" and view.waits_at is None:
        site = view.stack[-1] if view.stack else None
        place = f"{short(site.file)}:{site.line}" if site else ""
        return f"waits in {view.waits_for}", place, line_of(site.file, site.line) if site else ""
    if view.state == "runs" and view.stack:
        site = view.stack[-1]
        after = f", after {operation_text(at)}" if at is not None else ""
        return f"runs{after}", f"{short(site.file)}:{site.line}", line_of(site.file, site.line)
    if at is None:
        return HAS.get(view.state, view.state), "", ""
    if view.state == "raised" and evidence.killed and view.error:
        return f"has raised {view.error[-1][:90]}", where(at), line_of(at.file, at.line)
    word = "waits in" if view.state == "waits" else f"{HAS[view.state]} after"
    if view.state == "runs":
        word = "runs, after"
    group = evidence.name(at.group)
    of = "" if at.group < 0 or group == "the default group" else f" of {group}"
    return f"{word} {operation_text(at)}{of}", where(at), line_of(at.file, at.line)


def _positions(evidence: Evidence, columns: int | None) -> list[str]:
    """How far each rank has come in each group; only groups in which ranks differ."""
    lines = []
    for number, (name, ranks) in enumerate(evidence.groups):
        counts: dict[int, list[int]] = {}
        for rank in ranks:
            counts.setdefault(evidence.ranks[rank].counts.get(number, 0), []).append(rank)
        if len(counts) > 1:
            told = "; ".join(f"{count} on {named(who)}" for count, who in sorted(counts.items()))
            lines += wrapped(f"{name}: {told}", columns, "  ")
    return lines


def _output(evidence: Evidence, diagnosis: Diagnosis) -> list[str]:
    lines = []
    for rank in diagnosis.odd[:1]:
        for line in evidence.ranks[rank].output[-MOST_OUTPUT:]:
            lines.append(f"  rank {rank}: {line}")
    return lines
