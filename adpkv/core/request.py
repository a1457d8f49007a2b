"""One request on the rank that owns it: where it is, and what its client has been told.

The client's answer (OPEN, then one outcome, decided once) and the fate of the KV blocks are
separate questions (contract 3): this table answers the first, `core.session` the second.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from adpkv.core.block_pool import Lease
from adpkv.core.session import Session
from adpkv.core.values import Outcome, RequestSpec
from adpkv.errors import IllegalTransitionError

__all__ = ["TABLE", "RequestEvent", "RequestLine", "RequestState", "ServedRequest"]


class RequestState(StrEnum):
    """Where a request is on its rank."""

    WAITING = "waiting"
    """Assigned; no KV blocks yet."""
    PREFILLING = "prefilling"
    RECEIVING = "receiving"
    """Generation: its KV is to come from a context rank."""
    DECODING = "decoding"
    HANDED_OVER = "handed_over"
    """Context: the coordinator has the first token; the KV waits or is being sent."""
    ENDED = "ended"


class RequestEvent(StrEnum):
    """What can happen to a request."""

    PREFILL_BEGAN = "prefill_began"
    RECEIVE_BEGAN = "receive_began"
    PREFILLED = "prefilled"
    RECEIVED = "received"
    FINISHED = "finished"
    SESSION_OVER = "session_over"
    CANCEL = "cancel"
    TIMEOUT = "timeout"
    FAILURE = "failure"
    STOP = "stop"


class RequestLine(NamedTuple):
    """One line of the table: the next state, and what the client is told (None: nothing now)."""

    state: RequestState
    outcome: Outcome | None = None


_S, _E, _O = RequestState, RequestEvent, Outcome

_ENDINGS = {
    _E.CANCEL: RequestLine(_S.ENDED, _O.CANCELLED),
    _E.TIMEOUT: RequestLine(_S.ENDED, _O.TIMED_OUT),
    _E.FAILURE: RequestLine(_S.ENDED, _O.FAILED),
    _E.STOP: RequestLine(_S.ENDED, _O.FAILED),
}
_OVER = RequestLine(_S.ENDED)

TABLE: dict[RequestState, dict[RequestEvent, RequestLine | None]] = {
    _S.WAITING: {
        _E.PREFILL_BEGAN: RequestLine(_S.PREFILLING),
        _E.RECEIVE_BEGAN: RequestLine(_S.RECEIVING),
        _E.PREFILLED: None,
        _E.RECEIVED: None,
        _E.FINISHED: None,
        _E.SESSION_OVER: None,
        **_ENDINGS,
    },
    _S.PREFILLING: {
        _E.PREFILL_BEGAN: None,
        _E.RECEIVE_BEGAN: None,
        _E.PREFILLED: RequestLine(_S.HANDED_OVER, _O.PREFILLED),
        _E.RECEIVED: None,
        # A prompt that wants one token only is complete with its prefill.
        _E.FINISHED: RequestLine(_S.ENDED, _O.COMPLETED),
        _E.SESSION_OVER: None,
        **_ENDINGS,
    },
    _S.RECEIVING: {
        _E.PREFILL_BEGAN: None,
        _E.RECEIVE_BEGAN: None,
        _E.PREFILLED: None,
        _E.RECEIVED: RequestLine(_S.DECODING),
        _E.FINISHED: None,
        _E.SESSION_OVER: None,
        **_ENDINGS,
    },
    _S.DECODING: {
        _E.PREFILL_BEGAN: None,
        _E.RECEIVE_BEGAN: None,
        _E.PREFILLED: None,
        _E.RECEIVED: None,
        _E.FINISHED: RequestLine(_S.ENDED, _O.COMPLETED),
        _E.SESSION_OVER: None,
        **_ENDINGS,
    },
    # The context side has answered already; its client is the generation side's from now on.
    _S.HANDED_OVER: {
        _E.PREFILL_BEGAN: None,
        _E.RECEIVE_BEGAN: None,
        _E.PREFILLED: None,
        _E.RECEIVED: None,
        _E.FINISHED: None,
        _E.SESSION_OVER: _OVER,
        _E.CANCEL: _OVER,
        _E.TIMEOUT: _OVER,
        _E.FAILURE: _OVER,
        _E.STOP: _OVER,
    },
    _S.ENDED: dict.fromkeys(_E, _OVER),
}
"""Every state times every event; None is impossible: an `IllegalTransitionError`."""


class ServedRequest:
    """A request on its rank. Holds its lease and its session, and thereby keeps them alive."""

    __slots__ = (
        "arrived_ns",
        "assigned_ns",
        "computed",
        "computing_ns",
        "finish_step",
        "keys",
        "lease",
        "reserved_ns",
        "session",
        "spec",
        "state",
    )

    def __init__(self, spec: RequestSpec, now_ns: int) -> None:
        self.spec = spec
        self.state = RequestState.WAITING
        self.lease: Lease | None = None
        self.session: Session | None = None
        self.assigned_ns = now_ns
        """Since when its rank has it. It and the next three begin columns of its time."""
        self.reserved_ns = -1
        """Since when it has its blocks."""
        self.arrived_ns = -1
        """Since when its KV is here (generation)."""
        self.computing_ns = -1
        """Since when steps compute it."""
        self.computed = 0
        """Prompt tokens whose KV is there (context)."""
        self.finish_step = 0
        """The rank's decode step with which it is finished (generation)."""
        self.keys: tuple[int, ...] = ()
        """What each prompt block's content follows from (`memory.port`)."""

    def fire(self, event: RequestEvent) -> Outcome | None:
        """Move on; returns what the client is to be told now, if anything.

        Raises:
            IllegalTransitionError: the table calls it impossible; the state is unchanged.
        """
        line = TABLE[self.state][event]
        if line is None:
            story = self.session.story_lines() if self.session else []
            raise IllegalTransitionError(
                f"request {self.spec.request_id}", self.state, event, story
            )
        self.state = line.state
        return line.outcome
