"""Cancel is a question with six answers (contract 2)."""

from __future__ import annotations

from enum import StrEnum

from adpkv.core.session import State

__all__ = ["QUIESCENT", "TransferCancelResult", "cancel_answer", "may_release"]


class TransferCancelResult(StrEnum):
    """What `cancel_request_structured` answers; only the first three let the blocks be freed."""

    NOT_FOUND = "not_found"
    """No session for it: never had one, or it is over."""
    ALREADY_COMPLETE = "already_complete"
    CANCELLED_BEFORE_ADVERTISE = "cancelled_before_advertise"
    """No peer ever learned the address; or, on the sender, nothing was posted."""
    CANCEL_REQUESTED_IN_FLIGHT = "cancel_requested_in_flight"
    BACKEND_UNHEALTHY = "backend_unhealthy"
    NOT_CANCELLABLE = "not_cancellable"
    """In flight, and this back end cannot be asked."""


QUIESCENT = frozenset(
    {
        TransferCancelResult.NOT_FOUND,
        TransferCancelResult.ALREADY_COMPLETE,
        TransferCancelResult.CANCELLED_BEFORE_ADVERTISE,
    }
)


def cancel_answer(
    state: State | None, is_healthy: bool, can_withdraw: bool
) -> TransferCancelResult:
    """The answer for a session in `state` (None: there is none).

    The not-yet-exposed case is decided before health is looked at: giving never-exposed blocks
    back is always safe, and relieves a sick back end (contract 2.1).
    """
    if state is None:
        return TransferCancelResult.NOT_FOUND
    if state.is_unexposed:
        return TransferCancelResult.CANCELLED_BEFORE_ADVERTISE
    if state.is_over:
        return TransferCancelResult.ALREADY_COMPLETE
    if not is_healthy:
        return TransferCancelResult.BACKEND_UNHEALTHY
    if not can_withdraw:
        return TransferCancelResult.NOT_CANCELLABLE
    return TransferCancelResult.CANCEL_REQUESTED_IN_FLIGHT


def may_release(answer: TransferCancelResult) -> bool:
    """Whether the blocks may be freed after this answer (contract 2.2, 3.3)."""
    return answer in QUIESCENT
