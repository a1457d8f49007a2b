"""The transceiver's health. It follows from the progress of transfers, not from whether the loop
iterates (contract 4)."""

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
    "silent_from_ns",
    "unhealthy_reasons",
]

REASONS = ("no_progress", "stuck_in_quarantine", "quarantine_over_budget")
"""All values that `unhealthy_reasons` can return."""


@dataclass(frozen=True, slots=True)
class TransceiverHealth:
    """A snapshot of one rank's transceiver. Ages in nanoseconds; 0 if nothing is in flight or in
    quarantine."""

    is_healthy: bool
    quarantined_transfer_count: int
    quarantine_budget: int
    oldest_quarantine_age_ns: int
    since_last_progress_ns: int
    global_progress_deadline_ns: int
    reasons: tuple[str, ...]


class HealthInputs(msgspec.Struct, frozen=True, gc=False):
    """The values from which health follows. A *movement* is a session's end, a byte that moved, or
    a peer's message about a session. Times are nanoseconds on this rank's clock."""

    in_flight: int
    """Sessions whose blocks are exposed to a peer, quarantined ones included, but without those
    that wait for a slot of their sender."""
    moved_ns: int
    """The last movement; or when the first of the sessions in flight began, if that was later."""
    quarantined: int
    oldest_ns: int
    quarantine_moved_ns: int
    budget: int
    deadline_ns: int


def unhealthy_reasons(now_ns: int, inputs: HealthInputs) -> tuple[str, ...]:
    """Why the transceiver is unhealthy; empty if it is healthy (contract 4.2, a to c)."""
    reasons: list[str] = []
    if inputs.in_flight and now_ns - inputs.moved_ns > inputs.deadline_ns:
        reasons.append("no_progress")
    if inputs.quarantined and now_ns - inputs.oldest_ns > inputs.deadline_ns:
        reasons.append("stuck_in_quarantine")
    over_budget = inputs.quarantined > inputs.budget
    if over_budget and now_ns - inputs.quarantine_moved_ns > inputs.deadline_ns:
        reasons.append("quarantine_over_budget")
    return tuple(reasons)


def next_change_ns(inputs: HealthInputs, known: Collection[str] = ()) -> int:
    """The earliest time at which a reason that is not in `known` would appear if nothing happens
    until then; `NEVER` if there is none."""
    at = NEVER
    if inputs.in_flight and "no_progress" not in known:
        at = inputs.moved_ns
    if inputs.quarantined and "stuck_in_quarantine" not in known:
        at = min(at, inputs.oldest_ns)
    if inputs.quarantined > inputs.budget and "quarantine_over_budget" not in known:
        at = min(at, inputs.quarantine_moved_ns)
    return at if at == NEVER else silent_from_ns(at, inputs.deadline_ns)


def silent_from_ns(moved_ns: int, deadline_ns: int) -> int:
    """From when on the deadline is over, after a movement."""
    return moved_ns + deadline_ns + SOON_NS


class HealthMonitor:
    """Follows health over time: since when the transceiver is unhealthy, how often it was, and when
    its grace period is over."""

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

    def update(self, now_ns: int, reasons: tuple[str, ...]) -> bool:
        """Take in the reasons of a new check; returns whether health changed. Recovery resets the
        grace period."""
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
        """When the rank must propose shutdown; `NEVER` while healthy (contract 4.5)."""
        return (
            NEVER if self.unhealthy_since_ns == NEVER else self.unhealthy_since_ns + self.grace_ns
        )
