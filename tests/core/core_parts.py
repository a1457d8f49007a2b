"""Small parts that the tests of the core are made of: limits, requests, transceivers."""

from __future__ import annotations

from collections.abc import Sequence

from adpkv.core.rules import Rules
from adpkv.core.session import Event, Order, Role, Session, State
from adpkv.core.session_limits import TransceiverLimits
from adpkv.core.slots import SlotLimits
from adpkv.core.transceiver import Transceiver
from adpkv.core.values import RequestSpec, SenderRef

__all__ = [
    "ANSWER_NS",
    "PROGRESS_NS",
    "SLOT_NS",
    "TRANSFER_NS",
    "WAIT_NS",
    "at_state",
    "limits",
    "orders",
    "receiver",
    "sender",
    "session",
    "spec",
    "told",
]

TRANSFER_NS, ANSWER_NS, WAIT_NS, SLOT_NS, PROGRESS_NS = 1_000, 1_200, 5_000, 6_000, 10_000


def limits(
    total: int = 8,
    per_peer: int = 4,
    blocks_per_peer: int = 100,
    poll_limit: int = 64,
    budget: int = 2,
) -> TransceiverLimits:
    return TransceiverLimits(
        slots=SlotLimits(total, per_peer, blocks_per_peer),
        transfer_timeout_ns=TRANSFER_NS,
        answer_timeout_ns=ANSWER_NS,
        wait_timeout_ns=WAIT_NS,
        slot_timeout_ns=SLOT_NS,
        quarantine_budget=budget,
        progress_deadline_ns=PROGRESS_NS,
        shutdown_grace_ns=2 * PROGRESS_NS,
        poll_limit=poll_limit,
    )


def receiver(
    bounds: TransceiverLimits | None = None,
    rules: Rules | None = None,
    *,
    can_withdraw: bool = True,
) -> Transceiver:
    return Transceiver(
        Role.RECEIVER, bounds or limits(), rules or Rules(), can_withdraw=can_withdraw
    )


def sender(bounds: TransceiverLimits | None = None, *, can_withdraw: bool = True) -> Transceiver:
    return Transceiver(Role.SENDER, bounds or limits(), Rules(), can_withdraw=can_withdraw)


def session(role: Role = Role.RECEIVER, request_id: int = 1, peer: int = 5) -> Session:
    return Session(role, (request_id, 0), peer, 64, 0)  # type: ignore[arg-type]


def at_state(
    ends: Transceiver,
    state: State,
    request_id: int = 1,
    now_ns: int = 0,
    *,
    attempt: int = 0,
    pieces: int = 0,
) -> Session:
    """A session of this transceiver, brought to `state` through its own calls. A sender's may be
    another attempt of its request, and end after so many pieces."""
    if ends.book.role is Role.RECEIVER:
        return _receiving(ends, state, request_id, now_ns)
    made = ends.open(request_id, attempt, -1, 64, now_ns)
    ends.prepare(made, (1, 2))
    if state is State.PREPARED:
        return made
    if state is State.CANCELLED:
        ends.cancel_request(request_id, now_ns)
        return made
    ends.advertised(request_id, attempt, 5, 0, (3, 4), now_ns)
    ends.start(now_ns)
    _finish(ends, made, state, now_ns, pieces)
    return made


def _receiving(ends: Transceiver, state: State, request_id: int, now_ns: int) -> Session:
    made = ends.open(request_id, 0, 5, 64, now_ns)
    if state is State.WAITING:
        return made
    if state is State.CANCELLED:
        ends.cancel_request(request_id, now_ns)
        return made
    ends.reserve(made, (3, 4), (1, 2), now_ns)
    if state is State.QUEUED:
        return made
    ends.start(now_ns)
    words = {State.TRANSFERRING: Event.BEGAN, State.PEER_QUEUED: Event.PEER_QUEUED}
    if state in words:
        ends.on_peer_message(request_id, 0, words[state], now_ns)
    _finish(ends, made, state, now_ns)
    return made


def _finish(ends: Transceiver, made: Session, state: State, now_ns: int, pieces: int = 0) -> None:
    """From exposed to one of the states behind it."""
    request_id, attempt = made.session_id
    if state in (State.QUARANTINED, State.RELEASED):
        ends.cancel_request(request_id, now_ns)
    word = {State.COMPLETE: Event.DONE, State.RELEASED: Event.DONE, State.FAILED: Event.ENDED}
    if state in word:
        ends.finished(request_id, attempt, word[state], pieces=pieces)
        ends.check_transfer_status(now_ns)
    assert made.state is state, f"asked for {state}, got {made.state}"


def orders(ends: Transceiver) -> list[tuple[Order, int]]:
    """(order, request) of what is to be done outside."""
    return [(order, s.session_id[0]) for order, s in ends.take_orders()]


def told(ends: Transceiver) -> list[tuple[int, State]]:
    """(request, state) of what was resolved so far, taken out."""
    found = [(s.session_id[0], line.state) for s, _, line in ends.book.resolved]
    ends.book.resolved.clear()
    return found


def spec(
    request_id: int = 1,
    prompt: int = 10,
    output: int = 5,
    hashes: Sequence[int] = (),
    wanted: int | None = None,
    from_rank: int | None = None,
) -> RequestSpec:
    ref = None if from_rank is None else SenderRef(from_rank, (1,))
    return RequestSpec(request_id, 0, prompt, output, tuple(hashes), wanted, ref)
