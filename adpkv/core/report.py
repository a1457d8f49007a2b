"""What a rank says on the way out: its counters, its findings and the exit code it proposes."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from adpkv.core.values import Violation

__all__ = ["EXIT_PRECEDENCE", "OUTCOMES", "BlockCounts", "RankReport", "TransferCounts", "worst"]

EXIT_PRECEDENCE = (70, 4, 3, 5, 2, 75, 143, 130, 0)
"""Which exit code wins where ranks propose several (contract 6.6)."""

OUTCOMES = {
    0: "completed",
    2: "usage",
    3: "deadlock",
    4: "violation",
    5: "rank_lost",
    70: "internal_error",
    75: "unhealthy",
    130: "interrupted",
    143: "interrupted",
}
"""The word in `summary.json` for each exit code."""


def worst(codes: Iterable[int]) -> int:
    """The exit code that wins; an unknown one counts as an internal error."""
    found = {code if code in OUTCOMES else 70 for code in codes}
    return next((code for code in EXIT_PRECEDENCE if code in found), 0)


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
