"""The report about a stuck job: everything that follows from its evidence, for text and files.

`as_values` makes the report for programs (`deadlock.json`); `render` makes the same for people.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from adpkv.diagnosis.classify import Diagnosis, classify
from adpkv.diagnosis.evidence import Evidence, Pins, Position
from adpkv.diagnosis.graph import RankClass, WaitGraph, folded, wait_graph
from adpkv.diagnosis.why import Difference, Row, differences, history
from adpkv.errors import CollectiveMismatchError, DeadlockError, LivelockError, StuckError
from adpkv.whole_files import write_whole

__all__ = ["NAMES", "Report", "as_values", "make_report", "noticed", "write_deadlock"]

NAMES: Final[dict[type[StuckError], str]] = {
    CollectiveMismatchError: "mismatch",
    DeadlockError: "deadlock",
    LivelockError: "livelock",
}

MOST_REQUESTS: Final = 6
"""How many of the requests concerned a report names."""


class Report(msgspec.Struct, frozen=True):
    """Everything that is known of one stuck job."""

    evidence: Evidence
    diagnosis: Diagnosis
    why: tuple[Difference, ...]
    classes: tuple[RankClass, ...]
    history: tuple[Row, ...]
    graph: WaitGraph
    requests: tuple[int, ...] = ()
    """The requests concerned: their stories are part of the report."""
    replay: str = ""
    """The command that reproduces the run in virtual time."""
    stories: tuple[dict[str, Any], ...] = ()


def noticed(error: StuckError) -> str:
    """How the problem was noticed: `mismatch`, `deadlock` or `livelock`."""
    return NAMES.get(type(error), "stuck")


def make_report(evidence: Evidence, replay: str = "") -> Report:
    """The report that follows from the evidence; `replay` is the command that reproduces the
    run."""
    diagnosis = classify(evidence)
    classes = folded(evidence, diagnosis)
    return Report(
        evidence=evidence,
        diagnosis=diagnosis,
        why=tuple(differences(evidence, diagnosis)),
        classes=tuple(classes),
        history=tuple(history(evidence, diagnosis)),
        graph=wait_graph(evidence, classes),
        requests=_requests(evidence, diagnosis),
        replay=replay,
    )


def _requests(evidence: Evidence, diagnosis: Diagnosis) -> tuple[int, ...]:
    """The requests that the outliers hold; those of the whole group if there are no outliers."""
    ranks = set(diagnosis.outliers or diagnosis.others)
    found: dict[int, None] = {}
    for rank_state in evidence.rank_states:
        if rank_state.rank in ranks:
            pins = rank_state.pins
            found.update(dict.fromkeys((*pins.staged, *pins.in_flight, *pins.quarantined)))
    return tuple(found)[:MOST_REQUESTS]


def write_deadlock(path: Path, values: Mapping[str, Any]) -> None:
    """Write `deadlock.json` at this path, whole or not at all."""
    write_whole(path, json.dumps(values, indent=2) + "\n")


def as_values(error: StuckError) -> dict[str, Any]:
    """The error as plain values: its kind, its message, where each rank was; and the report if it
    has one."""
    found: dict[str, Any] = {
        "error": noticed(error),
        "message": str(error),
        "places": [place._asdict() for place in error.places],
    }
    report = error.report
    return found if not isinstance(report, Report) else found | _of_report(report)


def _of_report(report: Report) -> dict[str, Any]:
    evidence, diagnosis = report.evidence, report.diagnosis
    return {
        "kind": diagnosis.kind.value,
        "diagnosis": diagnosis.sentence,
        "world": evidence.world,
        "at_s": evidence.at_s,
        "group": evidence.name(diagnosis.group),
        "outliers": list(diagnosis.outliers),
        "others": list(diagnosis.others),
        "why": [_difference(difference) for difference in report.why],
        "classes": [_class(found) for found in report.classes],
        "history": [_row(row) for row in report.history],
        "graph": _graph(report.graph),
        "pinned": _pinned(evidence),
        "requests": list(report.requests),
        "stories": list(report.stories),
        "replay": report.replay,
    }


def _difference(difference: Difference) -> dict[str, Any]:
    return {
        "value": difference.name,
        "odd": list(difference.outliers),
        "others": list(difference.others),
        "others_agree": difference.clear,
    }


def _place(at: Position | None) -> dict[str, Any] | None:
    return None if at is None else msgspec.to_builtins(at)


def _class(found: RankClass) -> dict[str, Any]:
    return {
        "ranks": list(found.ranks),
        "state": found.state.value,
        "odd": found.is_outlier,
        "at": _place(found.at),
        "since_s": found.since_s,
        "stack": list(found.stack),
    }


def _row(row: Row) -> dict[str, Any]:
    return {"sequence": row.sequence, "at": _place(row.at), "ranks": list(row.ranks)}


def _graph(graph: WaitGraph) -> dict[str, Any]:
    return {
        "edges": [
            {
                "waiting": list(edge.waiting),
                "needs": edge.needs,
                "of": [list(ranks) for ranks in edge.of],
                "coordinator": edge.coordinator,
            }
            for edge in graph.edges
        ],
        "cycle": [list(ranks) for ranks in graph.cycle],
        "ends": [list(ranks) for ranks in graph.ends],
    }


def _pinned(evidence: Evidence) -> list[dict[str, Any]]:
    nothing = Pins()
    found: Sequence[tuple[int, Pins]] = [
        (rank_state.rank, rank_state.pins)
        for rank_state in evidence.rank_states
        if rank_state.pins != nothing
    ]
    return [{"rank": rank, **msgspec.to_builtins(pins)} for rank, pins in found]
