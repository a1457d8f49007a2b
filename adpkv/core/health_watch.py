"""Checks the health of one rank's transfers, and says when the next check is due."""

from __future__ import annotations

from adpkv.core.health import (
    HealthInputs,
    HealthMonitor,
    TransceiverHealth,
    next_change_ns,
    silent_from_ns,
    unhealthy_reasons,
)
from adpkv.core.ids import NEVER
from adpkv.core.rules import Rules
from adpkv.core.session_book import SessionBook
from adpkv.core.session_limits import TransceiverLimits

__all__ = ["HealthWatch"]


class HealthWatch:
    """Checks the health of one rank's sessions; `monitor` has what the last check found."""

    def __init__(self, book: SessionBook, limits: TransceiverLimits, rules: Rules) -> None:
        self.monitor = HealthMonitor(limits.shutdown_grace_ns)
        self._book = book
        self._limits = limits
        self._rules = rules
        self._is_by_contract = rules.unhealthy_reasons is unhealthy_reasons
        """Whether a rank is healthy by the contract's rule, and no other."""
        self._silent_ns = silent_from_ns(0, limits.progress_deadline_ns)
        """After how long without a movement a rank is unhealthy."""

    def inputs(self, transport_moved_ns: int = -1) -> HealthInputs:
        """The present values from which health follows, also if the transport last moved a byte
        then."""
        book, quarantine = self._book, self._book.quarantine
        return HealthInputs(
            in_flight=book.under_way,
            moved_ns=max(book.moved_ns, transport_moved_ns),
            quarantined=len(quarantine.since),
            oldest_ns=quarantine.oldest_ns(),
            quarantine_moved_ns=quarantine.moved_ns,
            budget=self._limits.quarantine_budget,
            deadline_ns=self._limits.progress_deadline_ns,
        )

    def check(self, now_ns: int, transport_moved_ns: int) -> bool:
        """Check health at `now_ns`; returns whether it changed. `transport_moved_ns` is when the
        transport last moved a byte."""
        book = self._book
        if not book.in_flight and not self.monitor.reasons:
            return False  # with nothing in flight there is nothing to check
        book.note_movement(transport_moved_ns)
        if self._is_by_contract and not book.quarantined and not self.monitor.reasons:
            # All that can be wrong is that nothing moves.
            silent_ns = now_ns - book.moved_ns if book.under_way else 0
            if silent_ns <= self._limits.progress_deadline_ns:
                return False
        return self.monitor.update(now_ns, self._rules.unhealthy_reasons(now_ns, self.inputs()))

    def snapshot(self, now_ns: int) -> TransceiverHealth:
        """Health as the last check found it, with ages as of `now_ns`."""
        inputs = self.inputs()
        return TransceiverHealth(
            is_healthy=not self.monitor.reasons,
            quarantined_transfer_count=inputs.quarantined,
            quarantine_budget=inputs.budget,
            oldest_quarantine_age_ns=now_ns - inputs.oldest_ns if inputs.quarantined else 0,
            since_last_progress_ns=now_ns - inputs.moved_ns if inputs.in_flight else 0,
            global_progress_deadline_ns=inputs.deadline_ns,
            reasons=self.monitor.reasons,
        )

    def due_ns(self, seen_ns: int) -> int:
        """When to check again if nothing happens until then; `NEVER` if no check is due.

        A grace period that was over by the last check, at `seen_ns`, is not due again.
        """
        reasons, book = self.monitor.reasons, self._book
        if not book.in_flight:
            return NEVER if not reasons else 0
        if not reasons and not book.quarantined:
            return book.moved_ns + self._silent_ns if book.under_way else NEVER
        # While unhealthy, the end of the grace period is due too, and so are further reasons.
        grace_ns = self.monitor.grace_over_ns()
        at_ns = next_change_ns(self.inputs(), reasons)
        return min(at_ns, grace_ns if grace_ns >= seen_ns else NEVER)
