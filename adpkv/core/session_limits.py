"""Sets the time limits of sessions, by their state.

A session may wait so long for blocks or a slot; its sender may leave the advertise unanswered so
long; the transfer itself may take so long. Waiting for a slot, here or at the sender, is not a slow
link, so it has a limit of its own (contract 3.1). While a session is in quarantine, its cancel is
repeated from time to time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from adpkv.core.ids import NEVER, SOON_NS
from adpkv.core.rules import Rules
from adpkv.core.session import Event, Session, State
from adpkv.core.session_book import ASKS, SessionBook
from adpkv.core.slots import SlotLimits

__all__ = ["SessionLimits", "TransceiverLimits"]

# Looked up once: to look a member up in its enum takes longer than what is done with it.
_ASK: Final = Event.ASK
_DEADLINE: Final = Event.DEADLINE
_SILENCE: Final = Event.SILENCE
_WAIT_LIMIT: Final = Event.WAIT_LIMIT
_PEER_QUEUED: Final = State.PEER_QUEUED
_QUARANTINED: Final = State.QUARANTINED
_TRANSFERRING: Final = State.TRANSFERRING

MOST_EARLY_DEADLINES: Final = 16
"""How many transfers that timed out too early a rank remembers; one of them is a violation."""


@dataclass(frozen=True, slots=True)
class TransceiverLimits:
    """One rank's limits for transfers in flight or waiting. Durations in nanoseconds."""

    slots: SlotLimits
    transfer_timeout_ns: int
    """How long a transfer may take, from where it begins."""
    answer_timeout_ns: int
    """Receiver: how long the sender may leave an advertise unanswered until it is repeated, and how
    long it may leave the repeated one unanswered."""
    wait_timeout_ns: int
    """Receiver: how long a session may wait for blocks and a slot. Sender: for an advertise."""
    slot_timeout_ns: int
    """Receiver: how long it may wait for a slot of its sender, from the message about it."""
    quarantine_budget: int
    progress_deadline_ns: int
    shutdown_grace_ns: int
    poll_limit: int
    """How many finished sessions one poll takes in (contract 1.1)."""


class SessionLimits:
    """Sets the limits of one rank's sessions in its `SessionBook`, as their states change."""

    def __init__(self, book: SessionBook, limits: TransceiverLimits, rules: Rules) -> None:
        self._book = book
        self._limits = limits
        self._anchor_ns = rules.deadline_anchor_ns
        self._ask_every_ns = max(SOON_NS, limits.progress_deadline_ns // ASKS)
        self.early_deadlines: list[tuple[int, int, int]] = []
        """(request, time in ns, transfer time in ns until then) of transfers that timed out before
        their deadline. The contract allows none. At most `MOST_EARLY_DEADLINES`."""

    def opened(self, session: Session, now_ns: int) -> None:
        """A new session waits: a receiver's for blocks and a slot, a sender's for an advertise."""
        self._book.limit(session, now_ns + self._limits.wait_timeout_ns, _WAIT_LIMIT)

    def started(self, session: Session, now_ns: int) -> None:
        """The session has a slot, and is advertised or posted."""
        anchor = self._anchor_ns
        anchor_ns = anchor(session)
        if anchor_ns == NEVER:
            at_ns = now_ns + self._limits.answer_timeout_ns
            event = _DEADLINE if session.reminded else _SILENCE
        else:
            at_ns, event = anchor_ns + self._limits.transfer_timeout_ns, _DEADLINE
        self._book.limit(session, at_ns, event)

    def queued(self, session: Session, now_ns: int) -> None:
        """The session waits for a slot of its sender."""
        self._book.limit(session, now_ns + self._limits.slot_timeout_ns, _WAIT_LIMIT)

    def moved(self, session: Session, before: State, event: Event, now_ns: int) -> None:
        """A receiver's session made a transition from `before`."""
        after = session.state
        if after is _QUARANTINED:
            if event is _ASK or before is not after:
                pause_ns = self._book.quarantine.pause_ns(session.session_id, now_ns)
                ask_ns = now_ns + max(self._ask_every_ns, pause_ns)
                self._book.limit(session, ask_ns, _ASK)
        elif event is _SILENCE:
            self.started(session, now_ns)
        elif before is after:
            return
        elif after is _TRANSFERRING:
            self.started(session, now_ns)
        elif after is _PEER_QUEUED:
            self.queued(session, now_ns)

    def passes(self, session: Session, now_ns: int) -> None:
        """The session's deadline passes: note it if that is too early.

        By contract 3.1 either the transfer had its whole timeout from where it began, or its sender
        left both advertises unanswered.
        """
        began_ns = session.began_ns
        if began_ns < 0 and session.reminded:
            return
        transfer_ns = now_ns - began_ns if began_ns >= 0 else 0
        if (
            transfer_ns < self._limits.transfer_timeout_ns
            and len(self.early_deadlines) < MOST_EARLY_DEADLINES
        ):
            self.early_deadlines.append((session.session_id[0], now_ns, transfer_ns))
