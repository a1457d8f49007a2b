"""A survey of a job as text for a screen, and as plain values for programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from adpkv.counting import counted
from adpkv.flight_recorder.format import What
from adpkv.flight_recorder.reader import Record
from adpkv.flight_recorder.slot_layout import SlotPlace
from adpkv.inspect.snapshot import RankObservation, Survey, folded
from adpkv.output.tables import Table, wrapped

__all__ = ["as_values", "rank_spans", "span_text", "survey_lines"]

MOST_CLASSES: Final = 18
MOST_SPANS: Final = 6
"""Spans of rank numbers in one cell."""

MOST_BEFORE: Final = 5
"""How many records of a class's first rank are shown."""

HEAD: Final = ("ranks", "instance", "process", "where", "iteration", "number", "for")


def survey_lines(survey: Survey, columns: int | None = None) -> list[str]:
    """The table's lines, for a window of `columns` columns. The ranks that differ from the rest of
    their group come first."""
    classes = folded(survey.ranks)
    shown = classes[:MOST_CLASSES]
    notes = {place: _before(found[0]) for place, found in enumerate(shown) if found[0].records}
    table = Table(HEAD, [_row(found) for found in shown], numbers=(), notes=notes)
    lines = [*wrapped(_title(survey), columns), *table.text(columns)]
    rest = classes[MOST_CLASSES:]
    if rest:
        lines.append(
            f"and {counted(sum(map(len, rest)), 'rank')} in {counted(len(rest), 'more place')}"
        )
    lines += [line for told in _elsewhere(survey) for line in wrapped(told, columns, hang="  ")]
    for note in survey.damage:
        lines += wrapped(f"damaged, left out: {note}", columns, hang="  ")
    return lines


def _elsewhere(survey: Survey) -> list[str]:
    """What is known here of ranks of other hosts."""
    ranks: dict[tuple[str, int, int], list[int]] = {}
    for one in survey.elsewhere:
        where = f"{one.kind} at {one.site}" if one.kind and one.site else "a collective"
        ranks.setdefault((where, one.slot.iteration, one.slot.sequence), []).append(one.rank)
    return [
        f"{'rank' if len(found) == 1 else 'ranks'} {rank_spans(found)} of other hosts:"
        f" last told of {where}, iteration {iteration}, #{sequence}"
        for (where, iteration, sequence), found in list(ranks.items())[:MOST_CLASSES]
    ]


def _before(one: RankObservation) -> str:
    return f"rank {one.rank} before: {' · '.join(map(_record_text, one.records[-MOST_BEFORE:]))}"


def _title(survey: Survey) -> str:
    here = len(survey.ranks)
    which = (
        counted(here, "rank")
        if here == survey.size
        else f"{here} of {survey.size} ranks, this host's"
    )
    age = span_text(survey.age_ns)
    if survey.running:
        return f"{survey.experiment}: {which}, running for {age}"
    return f"{survey.experiment}: {which}, over; as it was at its last sign of life, after {age}"


def _row(found: Sequence[RankObservation]) -> tuple[str, ...]:
    one = found[0]
    sequences = [seen.sequence for seen in found]
    least, most = min(sequences), max(sequences)
    return (
        rank_spans(seen.rank for seen in found),
        _instances(found),
        one.process,
        one.where,
        str(one.iteration),
        f"#{least}" if least == most else f"#{least}-{most}",
        span_text(max(seen.since_ns for seen in found)),
    )


def _instances(found: Sequence[RankObservation]) -> str:
    """The instances of these ranks. It is one, except where all ranks of the job are in the same
    collective."""
    names = list(dict.fromkeys(one.instance for one in found))
    return ", ".join(names) if len(names) < 3 else f"{names[0]} and {len(names) - 1:,} more"


def rank_spans(ranks: Iterable[int]) -> str:
    """Rank numbers as spans: `0-3, 7`; cut off where there are too many."""
    spans: list[list[int]] = []
    for rank in sorted(ranks):
        if spans and rank == spans[-1][1] + 1:
            spans[-1][1] = rank
        else:
            spans.append([rank, rank])
    texts = [str(first) if first == last else f"{first}-{last}" for first, last in spans]
    left = sum(last - first + 1 for first, last in spans[MOST_SPANS:])
    return ", ".join(texts[:MOST_SPANS]) + (f" and {left:,} more" if left else "")


def span_text(span_ns: int) -> str:
    """A duration in a suitable unit."""
    for least_ns, unit in ((1_000_000_000, "s"), (1_000_000, "ms")):
        if span_ns >= least_ns:
            return f"{span_ns / least_ns:.1f} {unit}"
    return f"{span_ns / 1_000:.0f} µs"


def _record_text(record: Record) -> str:
    took = span_text(record.end_ns - record.begin_ns)
    if record.what in (What.POST, What.EXPECT):
        way = "to" if record.what is What.POST else "from"
        return f"{record.kind} request {record.sequence} {way} rank {record.group} {took}"
    if record.what is What.POLL:
        return f"poll found {record.sequence}"
    return f"{record.site} {took}"


def as_values(survey: Survey, stacks: Mapping[int, str] | None = None) -> dict[str, Any]:
    """The survey as plain values. `stacks`: Python stacks by rank, if they were asked for."""
    classes = [
        {
            "ranks": [one.rank for one in found],
            "process": found[0].process,
            "doing": found[0].doing.value,
            **_place(found[0]),
        }
        for found in folded(survey.ranks)
    ]
    values: dict[str, Any] = {
        "experiment": survey.experiment,
        "size": survey.size,
        "running": survey.running,
        "age_s": survey.age_ns / 1e9,
        "folder": str(survey.folder),
        "classes": classes,
        "ranks": [_rank(one) for one in survey.ranks],
    }
    if survey.elsewhere:
        values["elsewhere"] = [
            {"rank": one.rank, "kind": one.kind, "site": one.site, "slot": _slot(one.slot)}
            for one in survey.elsewhere
        ]
    if survey.damage:
        values["damage"] = list(survey.damage)
    if stacks is not None:
        values["stacks"] = {str(rank): text for rank, text in stacks.items()}
    return values


def _slot(place: SlotPlace) -> dict[str, Any]:
    """What a rank has contributed last; kind and site are only hashes there."""
    return {
        "group": place.group,
        "epoch": place.epoch,
        "sequence": place.sequence,
        "iteration": place.iteration,
        "plan": f"{place.digest:08x}",
    }


def _place(one: RankObservation) -> dict[str, Any]:
    return {
        "group": one.group,
        "kind": one.kind,
        "site": one.site,
        "iteration": one.iteration,
    }


def _rank(one: RankObservation) -> dict[str, Any]:
    return {
        "rank": one.rank,
        "instance": one.instance,
        "pid": one.pid,
        "host": one.host,
        "process": one.process,
        "doing": one.doing.value,
        **_place(one),
        "sequence": one.sequence,
        "since_s": one.since_ns / 1e9,
        "written": one.written,
        "empty_polls": one.empty_polls,
        "slot": None if one.slot is None else _slot(one.slot),
        "records": [{**r._asdict(), "what": r.what.name.lower()} for r in one.records],
    }
