"""Which clauses of the contract a fact shows at work (docs/contract.md has their text)."""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["CLAUSES", "Clause"]


class Clause(NamedTuple):
    """One clause, or a part of one."""

    number: str
    about: str
    shown_by: tuple[str, ...]
    """Beginnings of facts, any of which shows it. A `*` stands for any state."""

    @property
    def is_ruled(self) -> bool:
        """Only rules that a policy replaces show it: under one it is not counted."""
        return all(fact.startswith(("line:", "answer:")) for fact in self.shown_by)


CLAUSES: Final = (
    Clause("1.4", "polled while nothing runs: an end is seen", ("line:receiver:*:done",)),
    Clause("2", "not found", ("answer:not_found", "line:*:cancelled:cancel")),
    Clause("2", "already complete", ("answer:already_complete", "line:*:complete:cancel")),
    Clause("2", "cancelled before advertise", ("answer:cancelled_before_advertise",)),
    Clause("2", "cancel requested in flight", ("answer:cancel_requested_in_flight",)),
    Clause("2", "back end unhealthy", ("answer:backend_unhealthy",)),
    Clause("2", "not cancellable", ("answer:not_cancellable",)),
    Clause("2.3", "a quarantined session is asked again", ("line:receiver:quarantined:ask",)),
    Clause("2.4", "a cancel meets a completed transfer", ("line:*:complete:cancel",)),
    Clause("2.5", "proof: DONE", ("line:sender:posted:done", "line:receiver:transferring:done")),
    Clause("2.5", "proof: nothing was posted", ("line:receiver:advertised:ended",)),
    Clause("2.5", "proof: the connection is fenced", ("fault:restart",)),
    Clause(
        "2.5",
        "an error is no proof",
        ("line:receiver:transferring:error", "line:sender:posted:error"),
    ),
    Clause(
        "3", "quarantined, then released", ("line:*:quarantined:done", "line:*:quarantined:ended")
    ),
    Clause("3", "an end after the end is late", ("line:*:released:", "line:*:failed:ended")),
    Clause(
        "3.1",
        "the peer is queued, and that is no slow link",
        ("line:receiver:advertised:peer_queued",),
    ),
    Clause("3.1", "an advertise is repeated", ("line:receiver:advertised:silence",)),
    Clause("3.1", "a transfer's deadline", ("line:receiver:transferring:deadline",)),
    Clause("3.1", "the wait limit", ("line:*:*:wait_limit",)),
    Clause("3.5", "a message about a former owner of an id", ("fault:former_owner",)),
    Clause("3.6", "one of several handles fails", ("fault:handle_error",)),
    Clause("4.2", "(a) no progress", ("health:no_progress",)),
    Clause("4.2", "(b) stuck in quarantine", ("health:stuck_in_quarantine",)),
    Clause("4.2", "(c) over the budget", ("health:quarantine_over_budget",)),
    Clause("4.5", "shutdown after the grace", ("stop:75:",)),
    Clause("5.4", "an invalid request is refused by all", ("event:refused",)),
    Clause("6.1", "shutdown is agreed, the work done", ("stop:0:",)),
    Clause(
        "6.2",
        "an advertise after the stop: never started",
        ("line:sender:failed:", "line:sender:prepared:stop"),
    ),
    Clause("6.3", "open transfers when the group stops", ("line:*:*:stop",)),
    Clause("6.5", "a failed rank is noticed", ("event:rank_lost",)),
    Clause("6.5", "its group goes on without it", ("survived:",)),
    Clause("6.5", "what it had is computed again", ("event:recomputed",)),
    Clause("10.1", "cached blocks are pinned, the others sent", ("event:reused",)),
    Clause("10.4", "a full hit is a notification", ("line:receiver:queued:cached",)),
)
