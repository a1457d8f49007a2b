"""The coverage of an exploration as a page: one HTML file without anything from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from types import MappingProxyType
from typing import Final

from adpkv.core.session import TABLES, Event, Role
from adpkv.counting import counted
from adpkv.exploration.coverage import NOT_HERE, Coverage
from adpkv.exploration.result import UNCOUNTED, Exploration

__all__ = ["coverage_page"]

_STYLE: Final = """
body{font:14px/1.45 system-ui,sans-serif;margin:2em auto;max-width:78em;padding:0 1em;color:#222}
table{border-collapse:collapse;margin:.6em 0 1.6em}
td,th{border:1px solid #ccc;padding:.15em .5em;text-align:right;white-space:nowrap}
th,td.w{text-align:left;font-weight:500}
.never{background:#f6c9c4}.few{background:#fbeab8}.many{background:#cfe8cf}
.none{background:#eee;color:#999}
thead th{writing-mode:vertical-rl;transform:rotate(180deg);text-align:left;border:0;padding:.4em 0}
thead th.h{writing-mode:horizontal-tb;transform:none;padding:.15em .5em}
.wide{overflow-x:auto}
@media(prefers-color-scheme:dark){body{background:#161616;color:#ddd}td,th{border-color:#444}
.never{background:#6b2b26}.few{background:#5d4d17}.many{background:#24502a}.none{background:#222}}
"""
FEW: Final = 10
_RULED: Final = (
    f"<p>Lines of the session tables and answers to cancels: {UNCOUNTED}; nor are the clauses"
    " that only these show.</p>"
)
_NO_REASONS: Final[Mapping[str, str]] = MappingProxyType({})


def coverage_page(found: Exploration) -> str:
    """The page."""
    coverage = found.coverage
    parts = [
        f"<h1>What {escape(found.name)} has reached</h1>",
        f"<p>{counted(found.seeds, 'seed')} from {found.first_seed} on, {escape(found.strategy)}:"
        f" {escape(found.outcome)}. Red: never. Yellow: fewer than {FEW} times. Grey: cannot"
        " be.</p>",
        _shares(found),
        _finds(found),
        *([_session_table(coverage, role) for role in Role] if found.is_counted else [_RULED]),
        _clauses(found),
        _faults(coverage),
        _counted("Answers to cancels", coverage.answers().items(), NOT_HERE)
        if found.is_counted
        else "",
        _counted("Why groups stopped (exit code: reason)", coverage.stops().items()),
    ]
    body = "\n".join(part for part in parts if part)
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width">'
        f"<title>{escape(found.name)}: coverage</title><style>{_STYLE}</style>\n{body}\n"
    )


def _cell(count: int | None) -> str:
    if count is None:
        return "<td class=none></td>"
    how = "never" if not count else "few" if count < FEW else "many"
    return f"<td class={how}>{count:,}</td>"


def _shares(found: Exploration) -> str:
    rows = [
        f"<tr><th>{escape(name)}</th><td>{share}</td></tr>"
        for name, share in found.shares().items()
    ]
    return f"<h2>Reached</h2><table>{''.join(rows)}</table>"


def _finds(found: Exploration) -> str:
    rows = [
        f"<tr><td class=w>{escape(one.signature)}</td><td>{one.count:,}</td><td>{one.seed}</td>"
        f"<td>{one.ranks}</td><td>{one.requests}</td>"
        f"<td class=w>{escape(', '.join(one.faults))}</td></tr>"
        for one in found.finds
    ]
    if not rows:
        return ""
    heads = ("signature", "seeds", "first", "ranks", "requests", "faults")
    return f"<h2>Finds</h2>{_table(heads, rows)}"


def _table(heads: Sequence[str], rows: Sequence[str]) -> str:
    head = "".join(f"<th class=h>{escape(one)}</th>" for one in heads)
    return f"<table><thead><tr>{head}</tr></thead>{''.join(rows)}</table>"


def _session_table(coverage: Coverage, role: Role) -> str:
    head = "".join(f"<th>{escape(event.value)}</th>" for event in Event)
    rows = []
    for state in TABLES[role]:
        cells = "".join(_cell(coverage.line(role, state, event)) for event in Event)
        rows.append(f"<tr><th>{escape(state.value)}</th>{cells}</tr>")
    return (
        f"<h2>Session table: {role.value}</h2><div class=wide><table><thead><tr><th></th>{head}"
        f"</tr></thead>{''.join(rows)}</table></div>"
    )


def _clauses(found: Exploration) -> str:
    rows = [
        f"<tr><td class=w>{escape(number)}</td><td class=w>{escape(about)}</td>"
        f"{'<td class=none>not counted</td>' if count is None else _cell(count)}</tr>"
        for number, about, count in found.coverage.clauses(is_counted=found.is_counted)
    ]
    return f"<h2>Clauses of the contract</h2>{_table(('clause', 'about', 'runs or times'), rows)}"


def _faults(coverage: Coverage) -> str:
    counts = coverage.faults()
    phases = list(dict.fromkeys(phase for _, phase in counts))
    kinds = list(dict.fromkeys(kind for kind, _ in counts))
    head = "".join(f"<th>{escape(phase or 'at an instant')}</th>" for phase in phases)
    rows = []
    for kind in kinds:
        cells = "".join(_cell(counts.get((kind, phase))) for phase in phases)
        rows.append(f"<tr><th>{escape(kind)}</th>{cells}</tr>")
    return (
        f"<h2>Faults by phase</h2><div class=wide><table><thead><tr><th></th>{head}</tr></thead>"
        f"{''.join(rows)}</table></div>"
    )


def _counted(
    title: str, counts: Iterable[tuple[str, int]], why_never: Mapping[str, str] = _NO_REASONS
) -> str:
    rows = []
    for name, count in counts:
        why = "" if count else why_never.get(name, "")
        cell = f"<td class='none w'>{escape(why)}</td>" if why else _cell(count)
        rows.append(f"<tr><td class=w>{escape(name)}</td>{cell}</tr>")
    return f"<h2>{escape(title)}</h2><table>{''.join(rows)}</table>"
