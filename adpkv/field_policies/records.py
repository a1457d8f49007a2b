"""Policies that replace rules or limits: transitions of a session, deadlines, health."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Final

from adpkv.core.health import HealthInputs
from adpkv.core.router import blind
from adpkv.core.rules import Rules
from adpkv.core.session import Blocks, Event, Line, Order, Role, Session, State
from adpkv.core.session_limits import TransceiverLimits
from adpkv.core.slots import SlotLimits
from adpkv.core.values import Outcome
from adpkv.field_policies.policy import Policy, with_lines

__all__ = [
    "ATTEMPT_IGNORED",
    "BUDGET_AS_HEALTH",
    "DEADLINE_FROM_ADMISSION",
    "DEADLINE_FROM_ADVERTISE",
    "EPOCH_IGNORED",
    "FAILURES_FORGOTTEN",
    "FIRST_FAILURE_FREES",
    "FREE_ON_TIMEOUT",
    "UNBOUNDED_QUARANTINE",
]

_FLYING: Final = {
    Role.RECEIVER: (State.ADVERTISED, State.PEER_QUEUED, State.TRANSFERRING),
    Role.SENDER: (State.POSTED,),
}
_TELL: Final = {Role.RECEIVER: Order.TELL_CANCEL, Role.SENDER: Order.WITHDRAW}


def _frees(
    rules: Rules,
    event: Event,
    state: State,
    outcome: Outcome,
    told: Mapping[Role, tuple[Order, ...]],
) -> Rules:
    """While a transfer is in flight, `event` ends its session in `state` and frees its blocks,
    without any proof that nobody writes into them."""
    for role, flying in _FLYING.items():
        line = Line(state, Blocks.FREED, outcome, told[role])
        rules = with_lines(rules, role, {(at, event): line for at in flying})
    return rules


def _free_on_timeout(rules: Rules) -> Rules:
    told = {role: (order,) for role, order in _TELL.items()}
    return _frees(rules, Event.DEADLINE, State.TIMED_OUT, Outcome.TIMED_OUT, told)


FREE_ON_TIMEOUT: Final = Policy(
    "A transfer that is not over at its deadline gives its blocks back, while the network still"
    " writes into them (#14565, #14633).",
    rules=_free_on_timeout,
)


def _first_failure_frees(rules: Rules) -> Rules:
    told = {Role.RECEIVER: (Order.TELL_CANCEL,), Role.SENDER: (Order.TELL_ENDED,)}
    return _frees(rules, Event.ERROR, State.FAILED, Outcome.FAILED, told)


FIRST_FAILURE_FREES: Final = Policy(
    "The first handle of several that fails ends the transfer, while the others go on writing"
    " (vllm-project/vllm #56104).",
    rules=_first_failure_frees,
)


def _epoch_ignored(rules: Rules) -> Rules:
    nobody: Mapping[Role, tuple[Order, ...]] = {Role.RECEIVER: (), Role.SENDER: ()}
    return _frees(rules, Event.PEER_LOST, State.FAILED, Outcome.FAILED, nobody)


EPOCH_IGNORED: Final = Policy(
    "A peer that restarts under its old name is taken for a new one, and what its earlier process"
    " had in flight for nothing (Mooncake #3595).",
    rules=_epoch_ignored,
)


def _deadline_from(anchor_ns: Callable[[Session], int]) -> Callable[[Rules], Rules]:
    """Another start of a transfer's deadline; that the sender has queued it makes no difference."""

    def changed(rules: Rules) -> Rules:
        deaf = {(State.ADVERTISED, Event.PEER_QUEUED): Line(State.ADVERTISED, Blocks.HELD)}
        rules = with_lines(rules, Role.RECEIVER, deaf)
        return dataclasses.replace(rules, deadline_anchor_ns=anchor_ns)

    return changed


def _since_admission_ns(session: Session) -> int:
    return session.waited_ns


DEADLINE_FROM_ADMISSION: Final = Policy(
    "The transfer's deadline runs while it waits for a slot: a long queue looks like a slow link"
    " (#13824).",
    rules=_deadline_from(_since_admission_ns),
    route=blind,  # admitted to a rank, and then waiting for a slot there
)


def _since_advertise_ns(session: Session) -> int:
    return session.started_ns


DEADLINE_FROM_ADVERTISE: Final = Policy(
    "The transfer's deadline runs from where the receiver gave its address: the queue at its"
    " sender looks like a slow link (tokenspeed #1427).",
    rules=_deadline_from(_since_advertise_ns),
)


def _over_budget(now_ns: int, seen: HealthInputs) -> tuple[str, ...]:
    return ("quarantine_over_budget",) if seen.quarantined > seen.budget else ()


BUDGET_AS_HEALTH: Final = Policy(
    "A rank with more than so many transfers in quarantine is unhealthy, moving or not; with fewer"
    " it is healthy, stuck or not (#13831).",
    rules=lambda rules: dataclasses.replace(rules, unhealthy_reasons=_over_budget),
)


def _never_unhealthy(now_ns: int, seen: HealthInputs) -> tuple[str, ...]:
    return ()


def _without_slots(limits: TransceiverLimits) -> TransceiverLimits:
    most = 1 << 30
    slots = SlotLimits(most, most, most, limits.slots.staging)
    return dataclasses.replace(limits, slots=slots)


UNBOUNDED_QUARANTINE: Final = Policy(
    "What is in doubt is kept, without a bound and without a message to anybody (vllm #46283).",
    rules=lambda rules: dataclasses.replace(rules, unhealthy_reasons=_never_unhealthy),
    limits=_without_slots,
)


def _any_attempt(session: Session, attempt: int) -> bool:
    return True


ATTEMPT_IGNORED: Final = Policy(
    "A message about an id is taken for whoever has the id now (sgl-project/sglang #35049).",
    rules=lambda rules: dataclasses.replace(rules, same_attempt=_any_attempt),
)

FAILURES_FORGOTTEN: Final = Policy(
    "Requests go to whoever has the least to do, and nobody remembers who failed: what fails at"
    " once has the least to do (Infera #82).",
    rules=lambda rules: dataclasses.replace(rules, is_failing=lambda row, after: False),
)
