"""What a rank says on the way out: its counters, its findings and the exit code it proposes."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from enum import IntEnum

import msgspec

from adpkv.core.token_gaps import GapCounts
from adpkv.core.values import Violation
from adpkv.exit_codes import ExitCode

__all__ = [
    "BlockCounts",
    "FaultCount",
    "Nearest",
    "RankReport",
    "TransferCounts",
    "WorkCounts",
    "by_instance",
    "diverging_traces",
    "of_ranks",
]


class TransferCounts(msgspec.Struct, frozen=True, array_like=True):
    """Sessions of one rank by how they ended, and what is still in doubt."""

    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    timed_out: int = 0
    late: int = 0
    bytes: int = 0
    quarantined_peak: int = 0
    quarantined_now: int = 0


class BlockCounts(msgspec.Struct, frozen=True, array_like=True):
    """The block equation of contract 3.7 at the end, and what nobody can account for."""

    total: int = 0
    free: int = 0
    cached: int = 0
    active: int = 0
    in_transfer: int = 0
    quarantined: int = 0
    leaked: int = 0


class Nearest(IntEnum):
    """How near a fault came to happening: which of its aims, in this order, were ever met."""

    NOTHING = 0
    PHASE = 1
    """Its phase came on its ranks, but never with one of its peers."""
    PEER = 2
    REQUEST = 3
    """All but its window of time."""
    TAKEN = 4
    """It fitted what a fault before it hit."""
    CHANCE = 5
    """It fitted, and was not drawn."""
    FIRED = 6


class FaultCount(msgspec.Struct, frozen=True, array_like=True):
    """How often fault `number` of the experiment fired on a rank, and how near it came."""

    number: int
    fired: int
    nearest: Nearest


class WorkCounts(msgspec.Struct, frozen=True, array_like=True):
    """What one rank computed: `tokens` of prompts on a context rank, made ones on a generation
    rank, in `steps` of its group that took `step_ns` of this rank's time in all. Of the
    `prompt_tokens` of requests whose prefill began, `cached_tokens` were there already."""

    steps: int = 0
    step_ns: int = 0
    tokens: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0


class RankReport(msgspec.Struct, frozen=True, array_like=True):
    """One rank's part of `summary.json`; times in nanoseconds since the run began."""

    rank: int
    instance: int
    exit_code: int
    detail: str
    iterations: int
    collectives: int
    collectives_ns: int
    mismatches: int
    transfers: TransferCounts
    blocks: BlockCounts
    unhealthy_intervals: int = 0
    first_unhealthy_ns: int = -1
    reasons: tuple[str, ...] = ()
    violations: tuple[Violation, ...] = ()
    left_ns: int = 0
    """When this rank had met its group for the last time."""
    met: int = 0
    """How many collectives it came to, and `trace`, a digest of which and in what order. Both 0
    where a world matches every collective of a group by value anyway."""
    trace: int = 0
    faults: tuple[FaultCount, ...] = ()
    work: WorkCounts = WorkCounts()
    gaps: GapCounts = GapCounts()
    """Between tokens. Where a world counts those of a whole group, only one of its ranks has
    them."""


def by_instance(reports: Iterable[RankReport]) -> dict[int, list[RankReport]]:
    """The reports of each instance, in order; none of one that has none."""
    found: dict[int, list[RankReport]] = {}
    for report in reports:
        found.setdefault(report.instance, []).append(report)
    return found


def of_ranks(reports: Sequence[RankReport], ranks: range) -> Sequence[RankReport]:
    """Those of these ranks, of reports in order of ranks: nobody looks through all the others."""
    first, behind = (
        bisect_left(reports, at, key=lambda report: report.rank) for at in (ranks.start, ranks.stop)
    )
    return reports[first:behind]


def diverging_traces(reports: Iterable[RankReport]) -> list[Violation]:
    """Ranks of one instance must have met in the same places, the same number of times. A rank
    that failed broke a collective in the middle: what its survivors count then is not compared."""
    found: list[Violation] = []
    for members in by_instance(reports).values():
        traces = Counter((report.met, report.trace) for report in members)
        if len(traces) < 2 or any(report.exit_code == ExitCode.RANK_LOST for report in members):
            continue
        usual = traces.most_common(1)[0][0]
        sides = [
            f"{_ranks([r.rank for r in members if (r.met, r.trace) == trace])}"
            f" made {trace[0]} collectives (digest {trace[1]:08x})"
            for trace in traces
        ]
        odd = next(report for report in members if (report.met, report.trace) != usual)
        at_ns = max(report.left_ns for report in members)
        found.append(Violation("diverging_traces", odd.rank, at_ns, "; ".join(sides)))
    return found


def _ranks(ranks: Sequence[int]) -> str:
    return f"{'rank' if len(ranks) == 1 else 'ranks'} {', '.join(map(str, ranks))}"
