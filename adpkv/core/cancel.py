"""The answers to a cancel of a transfer: which state leads to which of the six (contract 2)."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from adpkv.core.session import State

__all__ = ["QUIESCENT", "TransferCancelResult", "cancel_answer", "may_release"]


class TransferCancelResult(StrEnum):
    """What `cancel_request_structured` answers. After the first three the blocks may be freed."""

    NOT_FOUND = "not_found"
    """The request has no session here: it never had one, or it is over and forgotten."""
    ALREADY_COMPLETE = "already_complete"
    CANCELLED_BEFORE_ADVERTISE = "cancelled_before_advertise"
    """No peer was told the address of the blocks; or, on the sender, nothing was posted."""
    CANCEL_REQUESTED_IN_FLIGHT = "cancel_requested_in_flight"
    BACKEND_UNHEALTHY = "backend_unhealthy"
    NOT_CANCELLABLE = "not_cancellable"
    """In flight, and this transport cannot end a transfer early."""


QUIESCENT = frozenset(
    {
        TransferCancelResult.NOT_FOUND,
        TransferCancelResult.ALREADY_COMPLETE,
        TransferCancelResult.CANCELLED_BEFORE_ADVERTISE,
    }
)


_ALREADY_COMPLETE: Final = TransferCancelResult.ALREADY_COMPLETE


def cancel_answer(
    state: State | None, is_healthy: bool, can_withdraw: bool
) -> TransferCancelResult:
    """The answer for a session in `state`; None if there is no session.

    A session whose blocks were never exposed is handled before health is considered: to free such
    blocks is always safe, and helps an unhealthy transceiver (contract 2.1).
    """
    if state is None:
        return TransferCancelResult.NOT_FOUND
    if state.is_unexposed:
        return TransferCancelResult.CANCELLED_BEFORE_ADVERTISE
    if state.is_over:
        return _ALREADY_COMPLETE
    if not is_healthy:
        return TransferCancelResult.BACKEND_UNHEALTHY
    if not can_withdraw:
        return TransferCancelResult.NOT_CANCELLABLE
    return TransferCancelResult.CANCEL_REQUESTED_IN_FLIGHT


def may_release(answer: TransferCancelResult) -> bool:
    """Whether the blocks may be freed after this answer (contract 2.2, 3.3)."""
    return answer in QUIESCENT
