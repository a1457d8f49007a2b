"""Which limit a session is under: on its waiting, its sender's silence, its transfer, its doubt.

Until a transfer begins its sender may say nothing for so long, then it may take so long; waiting
for a slot, here or at the sender's, is not a slow link and has a limit of its own (contract 3.1).
"""

from __future__ import annotations

from dataclasses import dataclass

from adpkv.core.ids import NEVER, SOON_NS
from adpkv.core.rules import Rules
from adpkv.core.session import Event, Session, State
from adpkv.core.session_book import ASKS, SessionBook
from adpkv.core.slots import SlotLimits

__all__ = ["SessionLimits", "TransceiverLimits"]

MOST_EARLY_DEADLINES = 16
"""Transfers given up too early that a rank remembers; one is a violation."""


@dataclass(frozen=True, slots=True)
class TransceiverLimits:
    """The bounds on everything that is in flight or waits. Durations in nanoseconds."""

    slots: SlotLimits
    transfer_timeout_ns: int
    """From where the transfer begins."""
    answer_timeout_ns: int
    """Receiver: how long its sender may say nothing to an advertise before it is repeated, and
    how long afterwards."""
    wait_timeout_ns: int
    """For blocks and a slot here; on a sender, for a receiver to ask."""
    slot_timeout_ns: int
    """For a slot at the sender's, from when it says that it has none."""
    quarantine_budget: int
    progress_deadline_ns: int
    shutdown_grace_ns: int
    poll_limit: int
    """Finished sessions taken in per poll; `at_least` may let more through (contract 1.1)."""


class SessionLimits:
    """Sets the limits of one rank's sessions, in the book, as they move."""

    def __init__(self, book: SessionBook, limits: TransceiverLimits, rules: Rules) -> None:
        self._book = book
        self._limits = limits
        self._rules = rules
        self._ask_every_ns = max(SOON_NS, limits.progress_deadline_ns // ASKS)
        self.early_deadlines: list[tuple[int, int, int]] = []
        """(request, time, how long its link had by then) of those that were given up before their
        deadline: the contract allows none. Bounded."""

    def opened(self, session: Session, now_ns: int) -> None:
        """It waits: on a receiver for blocks and a slot, on a sender for a receiver to ask."""
        self._book.limit(session, now_ns + self._limits.wait_timeout_ns, Event.WAIT_LIMIT)

    def started(self, session: Session, now_ns: int) -> None:
        """It has a slot, and its address is out or its first byte posted."""
        anchor_ns = self._rules.deadline_anchor_ns(session)
        if anchor_ns == NEVER:
            at_ns = now_ns + self._limits.answer_timeout_ns
            event = Event.DEADLINE if session.reminded else Event.SILENCE
        else:
            at_ns, event = anchor_ns + self._limits.transfer_timeout_ns, Event.DEADLINE
        self._book.limit(session, at_ns, event)

    def queued(self, session: Session, now_ns: int) -> None:
        """It waits for a slot at the sender's."""
        self._book.limit(session, now_ns + self._limits.slot_timeout_ns, Event.WAIT_LIMIT)

    def moved(self, session: Session, before: State, event: Event, now_ns: int) -> None:
        """A receiver's session has moved on from `before`."""
        after = session.state
        if after is State.QUARANTINED:
            if event is Event.ASK or before is not after:
                pause_ns = self._book.quarantine.pause_ns(session.session_id, now_ns)
                ask_ns = now_ns + max(self._ask_every_ns, pause_ns)
                self._book.limit(session, ask_ns, Event.ASK)
        elif event is Event.SILENCE:
            self.started(session, now_ns)
        elif before is after:
            return
        elif after is State.TRANSFERRING:
            self.started(session, now_ns)
        elif after is State.PEER_QUEUED:
            self.queued(session, now_ns)

    def passes(self, session: Session, now_ns: int) -> None:
        """Its deadline passes. By contract 3.1 it had that long from where it began, or its sender
        was silent, and asked twice."""
        began_ns = session.began_ns
        if began_ns < 0 and session.reminded:
            return
        transfer_ns = now_ns - began_ns if began_ns >= 0 else 0
        if (
            transfer_ns < self._limits.transfer_timeout_ns
            and len(self.early_deadlines) < MOST_EARLY_DEADLINES
        ):
            self.early_deadlines.append((session.session_id[0], now_ns, transfer_ns))
