"""Watches the health of one rank's transfers: what it is judged from, and when to look again."""

from __future__ import annotations

from adpkv.core.health import HealthInputs, HealthMonitor, TransceiverHealth, next_change_ns
from adpkv.core.ids import NEVER
from adpkv.core.rules import Rules
from adpkv.core.session_book import SessionBook
from adpkv.core.session_limits import TransceiverLimits

__all__ = ["HealthWatch"]


class HealthWatch:
    """Looks at a book of sessions; `monitor` has what the last look found."""

    def __init__(self, book: SessionBook, limits: TransceiverLimits, rules: Rules) -> None:
        self.monitor = HealthMonitor(limits.shutdown_grace_ns)
        self._book = book
        self._limits = limits
        self._rules = rules

    def inputs(self) -> HealthInputs:
        """What health is judged from, as of now."""
        book = self._book
        return HealthInputs(
            in_flight=book.under_way,
            moved_ns=book.moved_ns,
            quarantined=len(book.quarantine),
            oldest_ns=book.quarantine.oldest_ns(),
            quarantine_moved_ns=book.quarantine.moved_ns,
            budget=self._limits.quarantine_budget,
            deadline_ns=self._limits.progress_deadline_ns,
        )

    def look(self, now_ns: int, transport_moved_ns: int) -> bool:
        """Judge health again; `transport_moved_ns` is when the transport last moved a byte. Says
        whether health changed."""
        if not self._book.in_flight and not self.monitor.reasons:
            return False  # nothing can be ill about nothing
        self._book.note_movement(transport_moved_ns)
        return self.monitor.look(now_ns, self._rules.unhealthy_reasons(now_ns, self.inputs()))

    def snapshot(self, now_ns: int) -> TransceiverHealth:
        """As of the last look."""
        seen = self.inputs()
        return TransceiverHealth(
            is_healthy=not self.monitor.reasons,
            quarantined_transfer_count=seen.quarantined,
            quarantine_budget=seen.budget,
            oldest_quarantine_age_ns=now_ns - seen.oldest_ns if seen.quarantined else 0,
            since_last_progress_ns=now_ns - seen.moved_ns if seen.in_flight else 0,
            global_progress_deadline_ns=seen.deadline_ns,
            reasons=self.monitor.reasons,
        )

    def due_ns(self, seen_ns: int) -> int:
        """When to look again if nothing happens until then; the grace that was over at `seen_ns`
        was seen."""
        reasons = self.monitor.reasons
        if not self._book.in_flight:
            return NEVER if not reasons else 0
        # Ill: a movement heals, and is looked for; meanwhile the grace goes on, and what else is
        # wrong shows.
        grace_ns = self.monitor.grace_over_ns()
        at_ns = next_change_ns(self.inputs(), reasons)
        return min(at_ns, grace_ns if grace_ns >= seen_ns else NEVER)
