"""The rules on which serving systems have differed over time, as pure functions in one record.

The defaults are the rules of the contract. A historical policy, the former behaviour of a real
system, is another record made with `dataclasses.replace` in `adpkv/field_policies/`. Neither the
core nor the loop knows about these policies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from adpkv.core import cancel, failure_memory, health
from adpkv.core.ids import NEVER
from adpkv.core.session import TABLES, Role, Session, Table

__all__ = ["Rules"]


def _deadline_anchor_ns(session: Session) -> int:
    """The deadline counts from when the sender begins the transfer. Waiting for a slot, on either
    side, is not part of the transfer (contract 3.1, #13824)."""
    return session.began_ns if session.began_ns >= 0 else NEVER


def _same_attempt(session: Session, attempt: int) -> bool:
    """A message counts only for the session's own attempt (contract 3.5, sglang #35049)."""
    return session.attempt == attempt


@dataclass(frozen=True, slots=True)
class Rules:
    """Each field is one question that a policy may answer differently."""

    tables: Mapping[Role, Table] = field(default_factory=lambda: TABLES)
    """The transition tables: what an event does to a session, its client and its blocks."""

    deadline_anchor_ns: Callable[[Session], int] = _deadline_anchor_ns
    """The time from which the transfer deadline counts; `NEVER` while it does not count. Called
    when the receiver advertises, and when the transfer begins."""

    cancel_answer: Callable[..., cancel.TransferCancelResult] = cancel.cancel_answer
    """The answer to a cancel."""

    may_release: Callable[[cancel.TransferCancelResult], bool] = cancel.may_release
    """Whether blocks may be freed after an answer."""

    unhealthy_reasons: Callable[[int, health.HealthInputs], tuple[str, ...]] = (
        health.unhealthy_reasons
    )
    """Why a transceiver is unhealthy."""

    same_attempt: Callable[[Session, int], bool] = _same_attempt
    """Whether a message about a session is about this attempt of it."""

    is_failing: Callable[[failure_memory.FailureRow, int], bool] = failure_memory.is_failing
    """Whether a rank with this row of failures is avoided."""
