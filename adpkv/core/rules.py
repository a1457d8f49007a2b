"""The rules that the field changed its mind about, as pure functions in one frozen record.

The defaults *are* the contract. A historical policy is another record, made with
`dataclasses.replace` in `adpkv/field_policies/`; nothing in the core or the loop knows that it
exists.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from adpkv.core import cancel, health
from adpkv.core.ids import NEVER
from adpkv.core.session import TABLES, Role, Session, Table

__all__ = ["Rules"]


def _deadline_anchor_ns(session: Session) -> int:
    """The deadline runs from where the transfer starts, which is when its sender begins: waiting
    for a slot, here or there, is not a slow link (contract 3.1, #13824)."""
    return session.began_ns if session.began_ns >= 0 else NEVER


def _same_attempt(session: Session, attempt: int) -> bool:
    """A message about a former owner of an id is not for this one (contract 3.5, sglang #35049)."""
    return session.attempt == attempt


@dataclass(frozen=True, slots=True)
class Rules:
    """Each field is one question that a policy may answer differently."""

    tables: Mapping[Role, Table] = field(default_factory=lambda: TABLES)
    """What an event does to a session: what a deadline frees, what a late end revives."""

    deadline_anchor_ns: Callable[[Session], int] = _deadline_anchor_ns
    """From when the transfer deadline counts; NEVER while it does not. Asked when the address goes
    out, and when the transfer begins."""

    cancel_answer: Callable[..., cancel.TransferCancelResult] = cancel.cancel_answer
    """What a cancel answers."""

    may_release: Callable[[cancel.TransferCancelResult], bool] = cancel.may_release
    """After which answers blocks are freed."""

    unhealthy_reasons: Callable[[int, health.HealthInputs], tuple[str, ...]] = (
        health.unhealthy_reasons
    )
    """What health is made of."""

    same_attempt: Callable[[Session, int], bool] = _same_attempt
    """Whether a message about a session is about this attempt of it."""
