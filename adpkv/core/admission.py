"""A request as the coordinator sees it: which instance has it, and what to do at each event.

The table covers a cancel before admission, in prefill, between the instances, and in decode. An
event that it calls impossible breaks the contract (such as a second terminal response); the
coordinator reports it as a violation.

A request is admitted or refused as soon as it arrives, so a cancel or a stop never finds it in
`ARRIVED`. The other lines of that state are for a coordinator that holds requests back.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

__all__ = ["ADMISSION", "Action", "AdmissionEvent", "AdmissionLine", "AdmissionState"]


class AdmissionState(StrEnum):
    """Where a request is: before, in or between the instances, or ended."""

    ARRIVED = "arrived"
    PREFILL = "prefill"
    PREFILL_CANCELLED = "prefill_cancelled"
    """The cancel is on its way to the context instance, whose result may be on its way here."""
    DECODE = "decode"
    DECODE_CANCELLED = "decode_cancelled"
    ENDED = "ended"


class AdmissionEvent(StrEnum):
    """What can happen to a request."""

    ADMIT = "admit"
    REFUSE = "refuse"
    """Too much waits already, or its client's id is in use."""
    CANCEL = "cancel"
    PREFILLED = "prefilled"
    TERMINAL = "terminal"
    """An instance's last message: completed, cancelled, timed out or failed."""
    STOP = "stop"
    LOST = "lost"
    """The rank that had it, or its KV, has failed, and no other rank will answer for it."""
    RECOMPUTE = "recompute"
    """As `LOST`, but the experiment says to compute such a request again from the start."""


class Action(StrEnum):
    """What the coordinator does about an event."""

    NOTHING = "nothing"
    TO_CONTEXT = "to_context"
    TO_GENERATION = "to_generation"
    CANCEL_CONTEXT = "cancel_context"
    CANCEL_GENERATION = "cancel_generation"
    END_AS_SAID = "end_as_said"
    END_CANCELLED = "end_cancelled"
    END_STOPPED = "end_stopped"
    END_LOST = "end_lost"
    END_REFUSED = "end_refused"
    AGAIN = "again"
    """Send it to a context instance again, as its next attempt."""


class AdmissionLine(msgspec.Struct, frozen=True, gc=False):
    """One line of the table: the next state, and what to do."""

    state: AdmissionState
    action: Action = Action.NOTHING


_S, _E, _A = AdmissionState, AdmissionEvent, Action

ADMISSION: dict[AdmissionState, dict[AdmissionEvent, AdmissionLine | None]] = {
    _S.ARRIVED: {
        _E.ADMIT: AdmissionLine(_S.PREFILL, _A.TO_CONTEXT),
        _E.REFUSE: AdmissionLine(_S.ENDED, _A.END_REFUSED),
        _E.CANCEL: AdmissionLine(_S.ENDED, _A.END_CANCELLED),
        _E.PREFILLED: None,
        _E.TERMINAL: None,
        _E.STOP: AdmissionLine(_S.ENDED, _A.END_STOPPED),
        _E.LOST: None,
        _E.RECOMPUTE: None,
    },
    _S.PREFILL: {
        _E.ADMIT: None,
        _E.REFUSE: None,
        _E.CANCEL: AdmissionLine(_S.PREFILL_CANCELLED, _A.CANCEL_CONTEXT),
        _E.PREFILLED: AdmissionLine(_S.DECODE, _A.TO_GENERATION),
        _E.TERMINAL: AdmissionLine(_S.ENDED, _A.END_AS_SAID),
        # The instance that has it stops too, and sends its terminal answer.
        _E.STOP: AdmissionLine(_S.PREFILL_CANCELLED),
        _E.LOST: AdmissionLine(_S.ENDED, _A.END_LOST),
        _E.RECOMPUTE: AdmissionLine(_S.PREFILL, _A.AGAIN),
    },
    _S.PREFILL_CANCELLED: {
        _E.ADMIT: None,
        _E.REFUSE: None,
        _E.CANCEL: AdmissionLine(_S.PREFILL_CANCELLED),
        # Between the instances: it is not sent to a generation instance, and the cancel that was
        # sent makes the context rank free the KV.
        _E.PREFILLED: AdmissionLine(_S.ENDED, _A.END_CANCELLED),
        _E.TERMINAL: AdmissionLine(_S.ENDED, _A.END_AS_SAID),
        _E.STOP: AdmissionLine(_S.PREFILL_CANCELLED),
        _E.LOST: AdmissionLine(_S.ENDED, _A.END_LOST),
        _E.RECOMPUTE: AdmissionLine(_S.ENDED, _A.END_LOST),
    },
    _S.DECODE: {
        _E.ADMIT: None,
        _E.REFUSE: None,
        _E.CANCEL: AdmissionLine(_S.DECODE_CANCELLED, _A.CANCEL_GENERATION),
        _E.PREFILLED: None,
        _E.TERMINAL: AdmissionLine(_S.ENDED, _A.END_AS_SAID),
        _E.STOP: AdmissionLine(_S.DECODE),
        _E.LOST: AdmissionLine(_S.ENDED, _A.END_LOST),
        _E.RECOMPUTE: AdmissionLine(_S.PREFILL, _A.AGAIN),
    },
    _S.DECODE_CANCELLED: {
        _E.ADMIT: None,
        _E.REFUSE: None,
        _E.CANCEL: AdmissionLine(_S.DECODE_CANCELLED),
        _E.PREFILLED: None,
        _E.TERMINAL: AdmissionLine(_S.ENDED, _A.END_AS_SAID),
        _E.STOP: AdmissionLine(_S.DECODE_CANCELLED),
        _E.LOST: AdmissionLine(_S.ENDED, _A.END_LOST),
        _E.RECOMPUTE: AdmissionLine(_S.ENDED, _A.END_LOST),
    },
    _S.ENDED: {
        _E.ADMIT: None,
        _E.REFUSE: None,
        _E.CANCEL: AdmissionLine(_S.ENDED),
        _E.PREFILLED: None,
        _E.TERMINAL: None,
        _E.STOP: AdmissionLine(_S.ENDED),
        _E.LOST: None,
        _E.RECOMPUTE: None,
    },
}
"""The line for every state and event; None is an event that breaks the contract in that state."""
