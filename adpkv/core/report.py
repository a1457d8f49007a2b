"""What a rank reports when it leaves: counters, violations and the exit code that it proposes."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from enum import IntEnum

import msgspec

from adpkv.core.failure_memory import Avoidance
from adpkv.core.gap_counts import GapCounts
from adpkv.core.stop import StopReason
from adpkv.core.values import Violation
from adpkv.exit_codes import ExitCode

__all__ = [
    "BlockCounts",
    "FaultCount",
    "Nearest",
    "RankReport",
    "StagingCounts",
    "TransferCounts",
    "WorkCounts",
    "by_instance",
    "diverging_traces",
    "of_ranks",
]


class TransferCounts(msgspec.Struct, frozen=True, array_like=True):
    """Counts of one rank's sessions by how they ended, and of those still in quarantine."""

    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    timed_out: int = 0
    late: int = 0
    bytes: int = 0
    quarantined_peak: int = 0
    quarantined_now: int = 0
    cached: int = 0
    """Of the completed ones, those that moved no byte: the receiver had all of the KV."""
    bytes_cached: int = 0
    """The bytes that completed ones did not move, as the receiver had them."""


class BlockCounts(msgspec.Struct, frozen=True, array_like=True):
    """The block equation of contract 3.7 (see `core.block_pool`). `leaked` are blocks in use that
    no request has."""

    total: int = 0
    free: int = 0
    cached: int = 0
    active: int = 0
    in_transfer: int = 0
    quarantined: int = 0
    leaked: int = 0


class StagingCounts(msgspec.Struct, frozen=True, array_like=True):
    """The staging slots of a rank: those that no session has, and those that a session in
    quarantine has. The others are in transfer."""

    total: int
    free: int
    quarantined: int


class Nearest(IntEnum):
    """How far an injected fault came to firing: the conditions that ever held, in this order.

    It explains to a user why a fault of the experiment never fired.
    """

    NOTHING = 0
    """Its phase never came on one of its ranks."""
    PHASE = 1
    """Its phase came on its ranks, but never with one of its peers."""
    PEER = 2
    """Rank, phase and peer fitted, but never one of its requests."""
    REQUEST = 3
    """Everything fitted except its window of time."""
    TAKEN = 4
    """Everything fitted, but an earlier fault of the list was applied instead."""
    CHANCE = 5
    """Everything fitted, but its probability decided against it."""
    FIRED = 6
    """It fired."""


class FaultCount(msgspec.Struct, frozen=True, array_like=True):
    """How often fault `number` of the experiment fired on a rank, or how far it came."""

    number: int
    fired: int
    nearest: Nearest


class WorkCounts(msgspec.Struct, frozen=True, array_like=True):
    """What one rank computed.

    `tokens` are prompt tokens on a context rank and generated tokens on a generation rank. They
    were computed in `steps` steps of the group, which took `step_ns` nanoseconds on this rank's
    clock in all. Of the `prompt_tokens` of all requests whose prefill began, `cached_tokens` were
    in the prefix cache.
    """

    steps: int = 0
    step_ns: int = 0
    tokens: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    own_ns: int = 0
    """The part of `step_ns` in which this rank itself computed: the rest it waited for others."""


class RankReport(msgspec.Struct, frozen=True, array_like=True):
    """One rank's part of `summary.json`; times in nanoseconds since the run began."""

    rank: int
    instance: int
    exit_code: int
    stop: StopReason | None
    """Why its group stopped; None in the middle of a run."""
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
    """When this rank had finished its last collective with its group."""
    trace_length: int = 0
    """How many collectives this rank joined, waits included; 0 in a world that compares every
    collective of a group directly."""
    trace: int = 0
    """A digest of the waits among them in their order; 0 in such a world."""
    faults: tuple[FaultCount, ...] = ()
    work: WorkCounts = WorkCounts()
    gaps: GapCounts = GapCounts()
    """The gaps between tokens. A world that counts them for a whole group gives them to one of its
    ranks only."""
    staging: StagingCounts | None = None
    """None without staging."""
    avoidance: Avoidance = Avoidance()
    """How often it was avoided after failures of its own."""


def by_instance(reports: Iterable[RankReport]) -> dict[int, list[RankReport]]:
    """The reports by instance, in their order. An instance without reports is left out."""
    found: dict[int, list[RankReport]] = {}
    for report in reports:
        found.setdefault(report.instance, []).append(report)
    return found


def of_ranks(reports: Sequence[RankReport], ranks: range) -> Sequence[RankReport]:
    """The reports of `ranks`, found by bisection; `reports` are in order of ranks."""
    first, behind = (
        bisect_left(reports, at, key=lambda report: report.rank) for at in (ranks.start, ranks.stop)
    )
    return reports[first:behind]


def diverging_traces(reports: Iterable[RankReport]) -> list[Violation]:
    """Violations by instances whose ranks did not join the same collectives in the same order.

    An instance with a failed rank is not compared: the failure broke a collective, which some of
    the survivors have counted and others not.
    """
    found: list[Violation] = []
    for members in by_instance(reports).values():
        traces = Counter((report.trace_length, report.trace) for report in members)
        if len(traces) < 2 or any(report.exit_code == ExitCode.RANK_LOST for report in members):
            continue
        usual = traces.most_common(1)[0][0]
        sides = [
            f"{_ranks([r.rank for r in members if (r.trace_length, r.trace) == trace])}"
            f" made {trace[0]} collectives (digest {trace[1]:08x})"
            for trace in traces
        ]
        odd = next(report for report in members if (report.trace_length, report.trace) != usual)
        at_ns = max(report.left_ns for report in members)
        found.append(Violation("diverging_traces", odd.rank, at_ns, "; ".join(sides)))
    return found


def _ranks(ranks: Sequence[int]) -> str:
    return f"{'rank' if len(ranks) == 1 else 'ranks'} {', '.join(map(str, ranks))}"
