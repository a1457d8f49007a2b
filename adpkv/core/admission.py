"""A request as the coordinator sees it: which instance has it, and what was asked of whom.

The table covers a cancel before admission, in prefill, between the instances, and in decode. What
it calls impossible is a broken contract (two terminal responses), which the coordinator reports.

Today a request is admitted as it arrives: nothing can come between the two, and a cancel or a stop
never finds it in `ARRIVED`. These lines are for a coordinator that holds requests back.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

__all__ = ["ADMISSION", "Action", "AdmissionEvent", "AdmissionLine", "AdmissionState"]


class AdmissionState(StrEnum):
    """Where a request is between the instances."""

    ARRIVED = "arrived"
    PREFILL = "prefill"
    PREFILL_CANCELLED = "prefill_cancelled"
    """The cancel is on its way to the context instance; its result may cross it."""
    DECODE = "decode"
    DECODE_CANCELLED = "decode_cancelled"
    ENDED = "ended"


class AdmissionEvent(StrEnum):
    """What can happen to it."""

    ADMIT = "admit"
    CANCEL = "cancel"
    PREFILLED = "prefilled"
    TERMINAL = "terminal"
    """An instance's last message: completed, cancelled, timed out or failed."""
    STOP = "stop"
    LOST = "lost"
    """A failed rank had it, or had its KV, and nobody else will answer for it."""
    RECOMPUTE = "recompute"
    """The same, and it is to be computed again from the start."""


class Action(StrEnum):
    """What the coordinator does about it."""

    NOTHING = "nothing"
    TO_CONTEXT = "to_context"
    TO_GENERATION = "to_generation"
    CANCEL_CONTEXT = "cancel_context"
    CANCEL_GENERATION = "cancel_generation"
    END_AS_SAID = "end_as_said"
    END_CANCELLED = "end_cancelled"
    END_STOPPED = "end_stopped"
    END_LOST = "end_lost"
    AGAIN = "again"
    """To a context instance, as another attempt of it."""


class AdmissionLine(NamedTuple):
    """One line of the table."""

    state: AdmissionState
    action: Action = Action.NOTHING


_S, _E, _A = AdmissionState, AdmissionEvent, Action

ADMISSION: dict[AdmissionState, dict[AdmissionEvent, AdmissionLine | None]] = {
    _S.ARRIVED: {
        _E.ADMIT: AdmissionLine(_S.PREFILL, _A.TO_CONTEXT),
        _E.CANCEL: AdmissionLine(_S.ENDED, _A.END_CANCELLED),
        _E.PREFILLED: None,
        _E.TERMINAL: None,
        _E.STOP: AdmissionLine(_S.ENDED, _A.END_STOPPED),
        _E.LOST: None,
        _E.RECOMPUTE: None,
    },
    _S.PREFILL: {
        _E.ADMIT: None,
        _E.CANCEL: AdmissionLine(_S.PREFILL_CANCELLED, _A.CANCEL_CONTEXT),
        _E.PREFILLED: AdmissionLine(_S.DECODE, _A.TO_GENERATION),
        _E.TERMINAL: AdmissionLine(_S.ENDED, _A.END_AS_SAID),
        # The instance that has it answers for it.
        _E.STOP: AdmissionLine(_S.PREFILL_CANCELLED),
        _E.LOST: AdmissionLine(_S.ENDED, _A.END_LOST),
        _E.RECOMPUTE: AdmissionLine(_S.PREFILL, _A.AGAIN),
    },
    _S.PREFILL_CANCELLED: {
        _E.ADMIT: None,
        _E.CANCEL: AdmissionLine(_S.PREFILL_CANCELLED),
        # Between the instances: no generation instance hears of it, and the context rank finds
        # the cancel in its messages.
        _E.PREFILLED: AdmissionLine(_S.ENDED, _A.END_CANCELLED),
        _E.TERMINAL: AdmissionLine(_S.ENDED, _A.END_AS_SAID),
        _E.STOP: AdmissionLine(_S.PREFILL_CANCELLED),
        _E.LOST: AdmissionLine(_S.ENDED, _A.END_LOST),
        _E.RECOMPUTE: AdmissionLine(_S.ENDED, _A.END_LOST),
    },
    _S.DECODE: {
        _E.ADMIT: None,
        _E.CANCEL: AdmissionLine(_S.DECODE_CANCELLED, _A.CANCEL_GENERATION),
        _E.PREFILLED: None,
        _E.TERMINAL: AdmissionLine(_S.ENDED, _A.END_AS_SAID),
        _E.STOP: AdmissionLine(_S.DECODE),
        _E.LOST: AdmissionLine(_S.ENDED, _A.END_LOST),
        _E.RECOMPUTE: AdmissionLine(_S.PREFILL, _A.AGAIN),
    },
    _S.DECODE_CANCELLED: {
        _E.ADMIT: None,
        _E.CANCEL: AdmissionLine(_S.DECODE_CANCELLED),
        _E.PREFILLED: None,
        _E.TERMINAL: AdmissionLine(_S.ENDED, _A.END_AS_SAID),
        _E.STOP: AdmissionLine(_S.DECODE_CANCELLED),
        _E.LOST: AdmissionLine(_S.ENDED, _A.END_LOST),
        _E.RECOMPUTE: AdmissionLine(_S.ENDED, _A.END_LOST),
    },
    _S.ENDED: {
        _E.ADMIT: None,
        _E.CANCEL: AdmissionLine(_S.ENDED),
        _E.PREFILLED: None,
        _E.TERMINAL: None,
        _E.STOP: AdmissionLine(_S.ENDED),
        _E.LOST: None,
        _E.RECOMPUTE: None,
    },
}
"""Every state times every event; None breaks the contract."""
