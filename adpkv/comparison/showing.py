"""A comparison as tables and sentences for any width, and as plain values for JSON."""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import IO, Any, Final

from adpkv.comparison.bootstrap import LEAST_SEEDS, Difference
from adpkv.comparison.compare import Comparison
from adpkv.comparison.requests import Parting, RequestChanges
from adpkv.comparison.sides import Side
from adpkv.counting import counted
from adpkv.output.tables import Table, print_line, width_of, wrapped
from adpkv.sweeps.figures import short_name
from adpkv.sweeps.showing import figure_text
from adpkv.terminal import console_for

__all__ = ["as_values", "show_comparison"]

MOST_NUMBERS: Final = 8
"""Requests that are listed by number, of each change."""

LITTLE: Final = 0.01
MUCH: Final = 10
"""Below the one, per cent have two decimals; from the other on, none."""

LEAST: Final = 0.00005
"""A smaller difference, which would be 0.00 %, has no sign."""

LETTERS: Final = string.ascii_uppercase


def show_comparison(stream: IO[str], found: Comparison) -> None:
    """Who is compared, the figures, the requests that ended differently, and where they part."""
    console = console_for(stream)
    columns = width_of(console)

    def say(text: str, indent: str = "", style: str = "") -> None:
        for line in wrapped(text, columns, indent, "  "):
            print_line(console, line, style)

    names = [_letter(at) for at in range(len(found.sides))]
    for name, side in zip(names, found.sides, strict=True):
        outcomes = Counter(str(run.summary["outcome"]) for run in side.runs)
        told = ", ".join(
            outcome if count == len(side.runs) else f"{count} {outcome}"
            for outcome, count in outcomes.items()
        )
        broken_off = [run.summary["broken_off"] for run in side.runs]
        if len(broken_off) == 1 and broken_off[0] is not None:
            told += f": {broken_off[0]['why']}"
        seeds = side.seeds
        which = f"seed {seeds[0]}" if len(seeds) == 1 else f"{len(seeds)} seeds"
        say(f"{name}  {side.label} ({which}): {told}")
    intervals = any(one and one.low is not None for row in found.figures for one in row.differences)
    _figures(found, names, intervals).show(console)
    if intervals:
        say("95 %: confidence interval of the difference over seeds; * more than chance")
    else:
        say(f"no confidence: it takes {LEAST_SEEDS} seeds of each side or more")
    for indent, text in _all_requests(found, names):
        say(text, indent)


def _letter(at: int) -> str:
    """A to Z, then A1 to Z1, ..."""
    times, place = divmod(at, len(LETTERS))
    return LETTERS[place] + (str(times) if times else "")


def _figures(found: Comparison, names: Sequence[str], intervals: bool) -> Table:
    head = ["figure", names[0]]
    for name in names[1:]:
        head += [name, f"{name} - {names[0]}", *(["95 %"] if intervals else [])]
    shorts = Counter(short_name(row.column) for row in found.figures)
    rows = []
    for row in found.figures:
        title = _title(row.column, whole=shorts[short_name(row.column)] > 1)
        cells = [title, figure_text(row.column, row.means[0])]
        for mean, one in zip(row.means[1:], row.differences, strict=True):
            cells += [figure_text(row.column, mean), _gap(row.column, one)]
            cells += [_interval(row.column, one)] if intervals else []
        rows.append(cells)
    of_a_side = 3 if intervals else 2
    return Table(head, rows, naming=1, together=[1, *[of_a_side] * (len(names) - 1)])


def _title(column: str, *, whole: bool) -> str:
    short = column.replace(".", " ") if whole else short_name(column)
    return short.replace("_", " ") + ("/s" if column.endswith("_per_s") and not whole else "")


def _gap(column: str, one: Difference | None) -> str:
    if one is None:
        return "-"
    text = _signed(column, one.value, one.relative)
    return f"{text} *" if one.sure else text


def _interval(column: str, one: Difference | None) -> str:
    if one is None or one.low is None or one.high is None:
        return "-"
    low, high = (_signed(column, end, one.relative) for end in (one.low, one.high))
    return low if low == high else f"{low} to {high}"


def _signed(column: str, value: float, relative: bool) -> str:
    if not value:
        return "="
    decimals = 2 if abs(value) < LITTLE else 1 if abs(value) < MUCH else 0
    if relative and abs(value) < LEAST:
        return "~0%"
    text = f"{abs(value):.{decimals}%}" if relative else figure_text(column, abs(value))
    return f"{'+' if value > 0 else '-'}{text}"


def _all_requests(found: Comparison, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Sentences, each with its indent; one for all sides whose requests have none to compare."""
    first, *others = names
    alone: dict[str, list[str]] = {}
    told = zip(others, found.sides[1:], found.requests, found.partings, strict=True)
    for name, side, pairs, parted in told:
        if any(pair.matched for pair in pairs):
            yield from _requests(first, name, pairs, parted)
        else:
            alone.setdefault(_why_none(found.sides[0], side, pairs), []).append(name)
    for why, those in alone.items():
        of_all = those == others and len(others) > 1
        which = "" if of_all else f" of {first} and {', '.join(those)}"
        yield "", f"requests{which}: {why}"


def _why_none(first: Side, other: Side, pairs: Sequence[RequestChanges]) -> str:
    """Why no request of the one side is known to be one of the other."""
    if pairs:
        return "none is in both, the workloads differ"
    if len(first.runs) == len(other.runs) == 1 or {*first.seeds} & {*other.seeds}:
        return "not known, the runs left no folders (adpkv sweep --keep keeps them)"
    return "not known, no run has the seed of one on the other side"


def _requests(
    first: str, other: str, pairs: Sequence[RequestChanges], parted: Sequence[Parting]
) -> Iterator[tuple[str, str]]:
    """Sentences of requests that are on both sides, each with its indent."""
    matched = sum(pair.matched for pair in pairs)
    changed = [(pair.seed, change) for pair in pairs for change in pair.changed]
    if not changed:
        whole = "the only request" if matched == 1 else f"all {matched:,} requests"
        yield "", f"{first} to {other}: {whole} ended in the same way"
    else:
        yield "", f"{first} to {other}: {len(changed):,} of {matched:,} requests ended differently"
    several = len(pairs) > 1
    for kind in dict.fromkeys((change.before, change.after) for _, change in changed):
        those = [(s, c.request) for s, c in changed if (c.before, c.after) == kind]
        shown = [f"{number} (seed {seed})" if several else f"{number}" for seed, number in those]
        more = f" and {len(those) - MOST_NUMBERS} more" if len(those) > MOST_NUMBERS else ""
        listed = ", ".join(shown[:MOST_NUMBERS])
        yield "  ", f"from {kind[0]} to {kind[1]}: {len(those):,}: request {listed}{more}"
    unmatched = sum(pair.unmatched for pair in pairs)
    if unmatched:
        yield "  ", f"no counterpart on the other side: {counted(unmatched, 'request')}"
    for one in parted:
        yield "  ", f"request {one.request}: the stories part"
        if one.shared is not None:
            yield "    ", f"behind {one.shared}"
        yield "    ", f"{first}: {one.first or 'nothing more'}"
        yield "    ", f"{other}: {one.other or 'nothing more'}"


def as_values(found: Comparison) -> dict[str, Any]:
    """All of it as plain values."""
    return {
        "sides": [
            {
                "label": side.label,
                "seeds": side.seeds,
                "outcomes": [run.summary["outcome"] for run in side.runs],
                "folders": [None if run.folder is None else str(run.folder) for run in side.runs],
            }
            for side in found.sides
        ],
        "figures": {
            row.column: {
                "means": list(row.means),
                "differences": [None if one is None else _values(one) for one in row.differences],
            }
            for row in found.figures
        },
        "requests": [
            {
                "pairs": [
                    {
                        "seed": pair.seed,
                        "matched": pair.matched,
                        "unmatched": pair.unmatched,
                        "changed": [
                            {
                                "request": one.request,
                                "before": one.before,
                                "after": one.after,
                                "detail": one.detail,
                            }
                            for one in pair.changed
                        ],
                    }
                    for pair in pairs
                ],
                "stories_part": [
                    {
                        "request": one.request,
                        "shared": one.shared,
                        "first": one.first,
                        "other": one.other,
                    }
                    for one in parted
                ],
            }
            for pairs, parted in zip(found.requests, found.partings, strict=True)
        ],
    }


def _values(one: Difference) -> dict[str, Any]:
    return {
        "value": one.value,
        "relative": one.relative,
        "low": one.low,
        "high": one.high,
        "sure": one.sure,
    }
