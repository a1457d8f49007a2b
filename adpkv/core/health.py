"""The transceiver's health: judged from progress, never from a loop that turns (contract 4)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import msgspec

from adpkv.core.ids import NEVER, SOON_NS

__all__ = [
    "REASONS",
    "HealthInputs",
    "HealthMonitor",
    "TransceiverHealth",
    "next_change_ns",
    "unhealthy_reasons",
]

REASONS = ("no_progress", "stuck_in_quarantine", "quarantine_over_budget")
"""All that `unhealthy_reasons` may say."""


@dataclass(frozen=True, slots=True)
class TransceiverHealth:
    """A snapshot. Ages in nanoseconds; 0 where there is nothing to be old."""

    is_healthy: bool
    quarantined_transfer_count: int
    quarantine_budget: int
    oldest_quarantine_age_ns: int
    since_last_progress_ns: int
    global_progress_deadline_ns: int
    reasons: tuple[str, ...]


class HealthInputs(msgspec.Struct, frozen=True, gc=False):
    """All that health is made of. *Moving* is an end, a byte or a peer's message."""

    in_flight: int
    """Sessions that are exposed to a peer, quarantined ones included; not those that wait for a
    slot at their sender's."""
    moved_ns: int
    """When anything last moved, or the first of the present flights began."""
    quarantined: int
    oldest_ns: int
    quarantine_moved_ns: int
    budget: int
    deadline_ns: int


def unhealthy_reasons(now_ns: int, seen: HealthInputs) -> tuple[str, ...]:
    """Why the transceiver is unhealthy; empty if it is not (contract 4.2, a to c)."""
    reasons: list[str] = []
    if seen.in_flight and now_ns - seen.moved_ns > seen.deadline_ns:
        reasons.append("no_progress")
    if seen.quarantined and now_ns - seen.oldest_ns > seen.deadline_ns:
        reasons.append("stuck_in_quarantine")
    if seen.quarantined > seen.budget and now_ns - seen.quarantine_moved_ns > seen.deadline_ns:
        reasons.append("quarantine_over_budget")
    return tuple(reasons)


def next_change_ns(seen: HealthInputs, known: Collection[str] = ()) -> int:
    """The earliest time at which a reason that is not `known` could appear if nothing happens
    until then."""
    at = NEVER
    if seen.in_flight and "no_progress" not in known:
        at = seen.moved_ns
    if seen.quarantined and "stuck_in_quarantine" not in known:
        at = min(at, seen.oldest_ns)
    if seen.quarantined > seen.budget and "quarantine_over_budget" not in known:
        at = min(at, seen.quarantine_moved_ns)
    return at if at == NEVER else at + seen.deadline_ns + SOON_NS


class HealthMonitor:
    """Follows health over time: since when it is ill, how often, and when the grace is over."""

    __slots__ = (
        "first_unhealthy_ns",
        "grace_ns",
        "intervals",
        "reasons",
        "seen_reasons",
        "unhealthy_since_ns",
    )

    def __init__(self, grace_ns: int) -> None:
        self.grace_ns = grace_ns
        self.reasons: tuple[str, ...] = ()
        self.unhealthy_since_ns = NEVER
        self.first_unhealthy_ns = -1
        self.intervals = 0
        self.seen_reasons: dict[str, None] = {}

    def look(self, now_ns: int, reasons: tuple[str, ...]) -> bool:
        """Take a new judgement in; says whether health changed. Recovery resets the grace."""
        changed = bool(reasons) != bool(self.reasons)
        self.reasons = reasons
        if not reasons:
            self.unhealthy_since_ns = NEVER
            return changed
        if changed:
            self.unhealthy_since_ns = now_ns
            self.intervals += 1
            if self.first_unhealthy_ns < 0:
                self.first_unhealthy_ns = now_ns
        for reason in reasons:
            self.seen_reasons[reason] = None
        return changed

    def grace_over_ns(self) -> int:
        """When shutdown is to be proposed; NEVER while healthy (contract 4.5)."""
        return (
            NEVER if self.unhealthy_since_ns == NEVER else self.unhealthy_since_ns + self.grace_ns
        )
