"""A session: the transfer of one request's KV, seen from one of its two ends.

There is one transition table per end. Each has a line for every state and every event; an event
that cannot happen in a state is an error that carries the session's history (its *story*). A line
answers the two questions of contract 3 separately: what the client is answered (`outcome`), and
what becomes of the blocks (`blocks`).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

import msgspec

from adpkv.core.ids import NEVER, SessionId
from adpkv.core.values import Outcome

__all__ = [
    "RECEIVER",
    "SENDER",
    "STORY_LINES",
    "TABLES",
    "Blocks",
    "Event",
    "Line",
    "Order",
    "Role",
    "Session",
    "State",
    "Table",
]


class Role(StrEnum):
    """Which end of the transfer this rank is."""

    RECEIVER = "receiver"
    SENDER = "sender"


class State(StrEnum):
    """The state of a session. PREPARED and POSTED are a sender's; the first five are a receiver's;
    the others are both's.

    Each state is exactly one of unexposed, exposed and over.
    """

    is_unexposed: bool
    """No peer knows the address of its blocks."""
    is_exposed: bool
    """A peer may touch its blocks."""
    is_over: bool
    is_moving: bool
    """Exposed, and expected to make progress. A session that waits for a slot, here or at its
    sender, is not expected to."""
    may_wait: bool
    """It waits for blocks, an advertise or a slot: the wait limit counts."""

    WAITING = "waiting"
    """It waits for blocks."""
    QUEUED = "queued"
    """It has blocks and waits for a slot."""
    ADVERTISED = "advertised"
    PEER_QUEUED = "peer_queued"
    """Advertised, and the sender has no slot for it yet."""
    TRANSFERRING = "transferring"
    PREPARED = "prepared"
    """The KV is ready; it waits for the receiver's advertise, or for a slot."""
    POSTED = "posted"
    QUARANTINED = "quarantined"
    """Its client has an answer, but it is not proven that no peer touches its blocks."""
    COMPLETE = "complete"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    RELEASED = "released"
    """It was quarantined, and the proof came."""


def _note_groups() -> None:
    """Set the groups as attributes: a transition reads several, and a property would be slower."""
    unexposed = (State.WAITING, State.QUEUED, State.PREPARED)
    over = (State.COMPLETE, State.FAILED, State.CANCELLED, State.TIMED_OUT, State.RELEASED)
    for state in State:
        state.is_unexposed = state in unexposed
        state.is_over = state in over
        state.is_exposed = not state.is_unexposed and not state.is_over
        state.is_moving = state.is_exposed and state is not State.PEER_QUEUED
        state.may_wait = state.is_unexposed or state is State.PEER_QUEUED


_note_groups()


class Event(StrEnum):
    """What can happen to a session."""

    RESERVED = "reserved"
    ADVERTISE = "advertise"
    """Receiver: a slot is free, so the address goes out. Sender: the advertise came, and a slot is
    free."""
    ADVERTISE_AGAIN = "advertise_again"
    """Sender: the advertise came again, for a transfer that is posted already."""
    NO_SLOT = "no_slot"
    """Sender: an advertise came, perhaps not the first, and no slot is free."""
    PEER_QUEUED = "peer_queued"
    """Receiver: the sender's message that it has no slot yet."""
    SILENCE = "silence"
    """Receiver: the advertise was not answered in time. It, or the answer, may be lost."""
    CACHED = "cached"
    """All of the KV is in the receiver's prefix cache. Sender: its receiver says so."""
    BEGAN = "began"
    """Receiver: the sender's message that the first byte was posted."""
    DONE = "done"
    """All bytes were transferred."""
    ENDED = "ended"
    """Proven to have ended without success."""
    ERROR = "error"
    """An error without a proof that the transfer has ended."""
    CANCEL = "cancel"
    WAIT_LIMIT = "wait_limit"
    """It has waited too long for blocks, an advertise or a slot."""
    DEADLINE = "deadline"
    """The transfer took too long, or its sender did not answer the repeated advertise either."""
    ASK = "ask"
    """Receiver: quarantined, and no message for a while. Its cancel, or the answer, may be lost."""
    PEER_LOST = "peer_lost"
    """The rank at the other end has failed."""
    STOP = "stop"
    """The instance is stopping."""


class Blocks(StrEnum):
    """What becomes of the blocks."""

    KEPT = "kept"
    """They stay with the request, and no peer touches them."""
    HELD = "held"
    """A peer may touch them: no other request gets them until it is proven that none does."""
    FREED = "freed"


class Order(StrEnum):
    """What the executor must do after a transition: a call of the transport, or a message to the
    peer (`executor.transfers`)."""

    EXPECT = "expect"
    """Tell the transport and the memory that a peer will write, then advertise."""
    TELL_AGAIN = "tell_again"
    """Send the advertise again; the transport expects the transfer already."""
    POST = "post"
    """Hand the transfer to the transport, and send `Began` to the receiver."""
    WITHDRAW = "withdraw"
    """Ask the transport to end the transfer early."""
    TELL_CANCEL = "tell_cancel"
    TELL_CACHED = "tell_cached"
    TELL_QUEUED = "tell_queued"
    TELL_BEGAN = "tell_began"
    TELL_NEVER_STARTED = "tell_never_started"
    TELL_ENDED = "tell_ended"


class Line(msgspec.Struct, frozen=True, gc=False):
    """One line of a table: the next state, the blocks, the client's outcome (None: no answer now)
    and the orders. `late`: the event came after the session's end and is only counted."""

    state: State
    blocks: Blocks
    outcome: Outcome | None = None
    orders: tuple[Order, ...] = ()
    late: bool = False


Table = dict[State, dict[Event, Line | None]]
"""The line for every state of a role and every event; None is an impossible event."""

_S, _E, _B, _O, _D = State, Event, Blocks, Outcome, Order


def _over(state: State, blocks: Blocks) -> dict[Event, Line | None]:
    """After the end: any event changes nothing and is counted as late."""
    return dict.fromkeys(_E, Line(state, blocks, late=True))


def _unstarted(orders: tuple[Order, ...]) -> dict[Event, Line | None]:
    """Before the address is given to a peer: the blocks are freed at once (contract 2.1)."""
    return {
        _E.CANCEL: Line(_S.CANCELLED, _B.FREED, _O.CANCELLED, orders),
        _E.WAIT_LIMIT: Line(_S.TIMED_OUT, _B.FREED, _O.TIMED_OUT, orders),
        _E.PEER_LOST: Line(_S.FAILED, _B.FREED, _O.FAILED),
        _E.STOP: Line(_S.FAILED, _B.FREED, _O.FAILED, orders),
    }


def _in_flight(orders: tuple[Order, ...]) -> dict[Event, Line | None]:
    """While a peer may touch the blocks: the client is answered now, the blocks are quarantined."""
    return {
        _E.ERROR: Line(_S.QUARANTINED, _B.HELD, _O.FAILED, orders),
        _E.CANCEL: Line(_S.QUARANTINED, _B.HELD, _O.CANCELLED, orders),
        _E.DEADLINE: Line(_S.QUARANTINED, _B.HELD, _O.TIMED_OUT, orders),
        _E.PEER_LOST: Line(_S.QUARANTINED, _B.HELD, _O.FAILED),
        _E.STOP: Line(_S.QUARANTINED, _B.HELD, _O.FAILED, orders),
        _E.WAIT_LIMIT: None,
        _E.RESERVED: None,
        _E.ADVERTISE: None,
        _E.ADVERTISE_AGAIN: None,
        _E.NO_SLOT: None,
        _E.PEER_QUEUED: None,
        _E.SILENCE: None,
        _E.ASK: None,
        _E.CACHED: None,
    }


def _quarantined(orders: tuple[Order, ...]) -> dict[Event, Line | None]:
    """Quarantine ends only by proof, however late it comes. The answer that the client has got does
    not change, and the request is not revived (#14633)."""
    lines: dict[Event, Line | None] = dict.fromkeys(_E, Line(_S.QUARANTINED, _B.HELD))
    lines[_E.DONE] = lines[_E.ENDED] = Line(_S.RELEASED, _B.FREED, None, orders)
    for event in (_E.RESERVED, _E.ADVERTISE, _E.ADVERTISE_AGAIN, _E.NO_SLOT, _E.SILENCE, _E.ASK):
        lines[event] = None
    lines[_E.WAIT_LIMIT] = lines[_E.CACHED] = None
    return lines


_CANCEL = (_D.TELL_CANCEL,)

_UNEXPOSED: dict[Event, Line | None] = dict.fromkeys(
    (
        _E.ADVERTISE_AGAIN,
        _E.NO_SLOT,
        _E.PEER_QUEUED,
        _E.SILENCE,
        _E.BEGAN,
        _E.DONE,
        _E.ENDED,
        _E.ERROR,
        _E.DEADLINE,
        _E.ASK,
    )
)
"""Events that only follow once a peer knows the address: impossible before."""

_RECEIVING: dict[Event, Line | None] = {
    _E.BEGAN: Line(_S.TRANSFERRING, _B.HELD),
    _E.DONE: Line(_S.COMPLETE, _B.KEPT),
    _E.ENDED: Line(_S.FAILED, _B.FREED, _O.FAILED),
    **_in_flight(_CANCEL),
}

RECEIVER: Table = {
    _S.WAITING: {
        _E.RESERVED: Line(_S.QUEUED, _B.KEPT),
        _E.ADVERTISE: None,
        _E.CACHED: None,
        **_UNEXPOSED,
        **_unstarted(_CANCEL),
    },
    _S.QUEUED: {
        _E.RESERVED: None,
        _E.ADVERTISE: Line(_S.ADVERTISED, _B.HELD, None, (_D.EXPECT,)),
        _E.CACHED: Line(_S.COMPLETE, _B.KEPT, None, (_D.TELL_CACHED,)),
        **_UNEXPOSED,
        **_unstarted(_CANCEL),
    },
    _S.ADVERTISED: {
        **_RECEIVING,
        _E.PEER_QUEUED: Line(_S.PEER_QUEUED, _B.HELD),
        # The advertise is repeated once; a second silence is a DEADLINE event.
        _E.SILENCE: Line(_S.ADVERTISED, _B.HELD, None, (_D.TELL_AGAIN,)),
    },
    # Waiting for the sender's slot is not a slow link: no deadline, but the wait limit (3.1).
    _S.PEER_QUEUED: {
        **_RECEIVING,
        _E.PEER_QUEUED: Line(_S.PEER_QUEUED, _B.HELD),
        _E.WAIT_LIMIT: Line(_S.QUARANTINED, _B.HELD, _O.TIMED_OUT, _CANCEL),
        _E.DEADLINE: None,
    },
    # The sender's "queued" may arrive after its "began".
    _S.TRANSFERRING: {**_RECEIVING, _E.PEER_QUEUED: Line(_S.TRANSFERRING, _B.HELD)},
    _S.QUARANTINED: {**_quarantined(()), _E.ASK: Line(_S.QUARANTINED, _B.HELD, None, _CANCEL)},
    # The session is over; its blocks stay with the decoding request.
    _S.COMPLETE: _over(_S.COMPLETE, _B.KEPT),
    _S.FAILED: _over(_S.FAILED, _B.FREED),
    _S.CANCELLED: _over(_S.CANCELLED, _B.FREED),
    _S.TIMED_OUT: _over(_S.TIMED_OUT, _B.FREED),
    _S.RELEASED: _over(_S.RELEASED, _B.FREED),
}

_NEVER = (_D.TELL_NEVER_STARTED,)

SENDER: Table = {
    _S.PREPARED: {
        **_UNEXPOSED,
        _E.RESERVED: None,
        _E.ADVERTISE: Line(_S.POSTED, _B.HELD, None, (_D.POST,)),
        _E.NO_SLOT: Line(_S.PREPARED, _B.KEPT, None, (_D.TELL_QUEUED,)),
        _E.CACHED: Line(_S.COMPLETE, _B.FREED),
        **_unstarted(_NEVER),
    },
    _S.POSTED: {
        _E.BEGAN: None,
        _E.DONE: Line(_S.COMPLETE, _B.FREED),
        _E.ENDED: Line(_S.FAILED, _B.FREED, _O.FAILED, (_D.TELL_ENDED,)),
        **_in_flight((_D.WITHDRAW,)),
        _E.ADVERTISE_AGAIN: Line(_S.POSTED, _B.HELD, None, (_D.TELL_BEGAN,)),
        # Without proof the receiver is told that nothing more comes, but not how much came.
        _E.ERROR: Line(_S.QUARANTINED, _B.HELD, _O.FAILED, (_D.TELL_ENDED,)),
    },
    _S.QUARANTINED: {
        **_quarantined((_D.TELL_ENDED,)),
        _E.ADVERTISE_AGAIN: Line(_S.QUARANTINED, _B.HELD),
        _E.PEER_QUEUED: None,
    },
    _S.COMPLETE: _over(_S.COMPLETE, _B.FREED),
    _S.FAILED: _over(_S.FAILED, _B.FREED),
    _S.CANCELLED: _over(_S.CANCELLED, _B.FREED),
    _S.TIMED_OUT: _over(_S.TIMED_OUT, _B.FREED),
    _S.RELEASED: _over(_S.RELEASED, _B.FREED),
}

TABLES: dict[Role, Table] = {Role.RECEIVER: RECEIVER, Role.SENDER: SENDER}

_FIRST = {Role.RECEIVER: State.WAITING, Role.SENDER: State.PREPARED}
"""In which state a session begins."""

STORY_LINES: Final = 32
"""How many of its last transitions a session's story keeps."""


class Session:
    """One end of one transfer. Only `SessionBook` changes it. Times are nanoseconds on this rank's
    clock."""

    __slots__ = (
        "attempt", "began_ns", "blocks", "cached", "cached_bytes", "limit", "limit_ns", "nbytes",
        "owner", "peer", "peer_blocks", "peer_queued_ns", "peer_slot", "pieces", "refused",
        "reminded", "role", "session_id", "slot", "started_ns", "state", "story", "tag",
        "waited_ns",
    )  # fmt: skip

    def __init__(
        self, role: Role, session_id: SessionId, peer: int, nbytes: int, now_ns: int
    ) -> None:
        self.role = role
        self.owner: Any = None
        """What it is for, as whoever opened it knows that, until it is forgotten."""
        self.session_id = session_id
        self.attempt = session_id[1]
        self.peer = peer
        """The other end's world rank; -1 for a sender that has got no advertise yet."""
        self.nbytes = nbytes
        self.state = _FIRST[role]
        self.blocks: tuple[int, ...] = ()
        """Those of the prompt that the receiver has not cached: what is transferred."""
        self.peer_blocks: tuple[int, ...] = ()
        self.cached = self.cached_bytes = 0
        """How many blocks of the prompt, the first ones, the receiver has cached; their bytes."""
        self.tag = -1
        self.slot = -1
        """Its staging slot (`core.slots`); -1 before it is exposed, and without staging."""
        self.peer_slot = -1
        """Sender: the receiver's staging slot, from its advertise."""
        self.pieces = 0
        self.waited_ns = now_ns
        """Since when it waits for blocks, an advertise or a slot."""
        self.limit_ns = NEVER
        """When its limit passes, which its state has; and what happens to it then: it has waited
        too long, its sender has left the advertise unanswered, or the transfer took too long."""
        self.limit = Event.WAIT_LIMIT
        self.started_ns = -1
        """When the advertise was sent (receiver), or the first byte was posted (sender)."""
        self.peer_queued_ns = -1
        """Receiver: when the sender's message came that it has no slot yet."""
        self.began_ns = -1
        """When the transfer began; on a receiver, when the sender's message about it came."""
        self.reminded = False
        """Receiver: the advertise was sent again, as the sender had not answered."""
        self.refused = False
        """This rank's own transport did not take it."""
        # A list, because a deque takes half a kilobyte at once, for each of 10,000 sessions; and
        # without a tuple for each transition, which takes as much as what is in it.
        self.story: list[Any] = []
        """Of each of its last transitions: when, the event, and the state after it."""

    def story_lines(self) -> list[str]:
        """The story as lines for people, oldest first."""
        one_by_one = iter(self.story)
        told = zip(one_by_one, one_by_one, one_by_one, strict=True)
        return [f"{at_ns / 1e9:.6f} s {event} -> {state}" for at_ns, event, state in told]
