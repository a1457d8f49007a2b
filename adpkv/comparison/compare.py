"""The comparison of some sides, as one value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Final

from adpkv.comparison.bootstrap import Difference, difference
from adpkv.comparison.requests import Parting, RequestChanges, changes, partings
from adpkv.comparison.sides import Side, read_sides
from adpkv.sweeps.figures import column_for, flat

__all__ = ["Comparison", "FigureRow", "compare_runs"]

USUAL: Final = (
    "requests.completed",
    "requests.cancelled",
    "requests.timed_out",
    "requests.failed",
    "requests.refused",
    "rates.error_rate",
    "rates.goodput_per_s",
    "rates.slo_attainment",
    "rates.requests_per_s",
    "rates.output_tokens_per_s",
    "rates.prefix_hit_rate",
    "rates.received_hit_rate",
    *(
        f"latency.{key}.{statistic}"
        for key in ("ttft_s", "itl_s", "tpot_s", "e2e_s")
        for statistic in ("p50", "p99")
    ),
    "latency.queue_wait_s.p99",
    "latency.kv_transfer_s.p99",
    "transfers.timed_out",
    "transfers.quarantined_peak",
    "health.unhealthy_intervals",
    "violations",
    "simulated_s",
)
"""The figures that are compared unless others are asked for: those that some side has."""

STORIES: Final = 3
"""Of so many requests of each pair of sides it is told where their stories part."""


@dataclass(frozen=True, slots=True)
class FigureRow:
    """One figure: the mean of each side over its seeds, and how the others differ from the first;
    None where a side has no such figure."""

    column: str
    means: tuple[float | None, ...]
    differences: tuple[Difference | None, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What differs between the first side and each of the others."""

    sides: tuple[Side, ...]
    figures: tuple[FigureRow, ...]
    requests: tuple[tuple[RequestChanges, ...], ...]
    """Of each other side, by seed: empty where the runs left no folders or share no seed."""
    partings: tuple[tuple[Parting, ...], ...]


def compare_runs(paths: Sequence[Path], asked: Sequence[str] = ()) -> Comparison:
    """Compare runs and sweeps, by their folders.

    Raises:
        UsageError: a folder is no run's, versions differ, or a name is no figure.
    """
    sides = read_sides(paths)
    summed = [[flat(run.summary) for run in side.runs] for side in sides]
    known = list(dict.fromkeys(key for side in summed for one in side for key in one))
    if asked:
        columns = [column_for(name, known) for name in asked]
    else:
        columns = [name for name in USUAL if name in known]
    rows = [_row(column, sides, summed) for column in columns]
    told = [row for row in rows if asked or any(mean for mean in row.means)]
    pairs = [_request_changes(sides[0], other) for other in sides[1:]]
    parted = [_partings(of_side) for of_side in pairs]
    return Comparison(tuple(sides), tuple(told), tuple(pairs), tuple(parted))


def _row(column: str, sides: Sequence[Side], summed: Sequence[Sequence[object]]) -> FigureRow:
    values = [[_number(one, column) for one in side] for side in summed]
    sound = [[value for value in side if value is not None] for side in values]
    means = [fmean(side) if side else None for side in sound]
    found: list[Difference | None] = []
    for side, own in zip(sides[1:], sound[1:], strict=True):
        if not own or not sound[0]:
            found.append(None)
            continue
        paired = side.seeds == sides[0].seeds and len(own) == len(sound[0]) == len(side.runs)
        found.append(difference(sound[0], own, paired=paired))
    return FigureRow(column, tuple(means), tuple(found))


def _number(cells: object, column: str) -> float | None:
    assert isinstance(cells, dict)
    value = cells.get(column)
    return float(value) if isinstance(value, int | float) else None


def _request_changes(first: Side, other: Side) -> tuple[RequestChanges, ...]:
    """For each seed of both; where each side is one run, those two, whatever their seeds."""
    if len(first.runs) == len(other.runs) == 1:
        pairs = [(first.runs[0], other.runs[0])]
    else:
        by_seed = {run.seed: run for run in first.runs}
        pairs = [(by_seed[run.seed], run) for run in other.runs if run.seed in by_seed]
    return tuple(
        changes(mine.seed, mine.folder, theirs.folder)
        for mine, theirs in pairs
        if mine.folder is not None and theirs.folder is not None
    )


def _partings(pairs: Sequence[RequestChanges]) -> tuple[Parting, ...]:
    """Of the first pair in which a request changed."""
    changed = next((pair for pair in pairs if pair.changed), None)
    return () if changed is None else tuple(partings(changed, STORIES))
