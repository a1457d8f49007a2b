"""One request on the rank that owns it: its state, and when its client gets an answer.

What the client is answered (one outcome, decided once) and what becomes of the KV blocks are
separate questions (contract 3). The table here answers the first, `core.session` the second.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from adpkv.core.block_pool import Lease
from adpkv.core.session import Session
from adpkv.core.values import Outcome, RequestSpec
from adpkv.errors import IllegalTransitionError

__all__ = ["TABLE", "RequestEvent", "RequestLine", "RequestState", "ServedRequest", "made_tokens"]


class RequestState(StrEnum):
    """Where a request is on its rank."""

    WAITING = "waiting"
    """Assigned to this rank; it has no KV blocks yet."""
    PREFILLING = "prefilling"
    RECEIVING = "receiving"
    """Generation: it has blocks, and its KV is to come from a context rank."""
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


class RequestLine(msgspec.Struct, frozen=True, gc=False):
    """One line of the table: the next state, and the outcome to answer (None: no answer now)."""

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
        # A request for one output token is complete with its prefill.
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
    # The context side has answered already; the generation side answers from now on.
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
"""The line for every state and event; None is an event that is impossible in that state."""

_WAITING: Final = RequestState.WAITING  # looked up once: that takes longer than what uses it


def made_tokens(spec: RequestSpec) -> int:
    """How many output tokens there will be: the last of them shows that it is the last."""
    asked, stops = spec.output_tokens, spec.stops_after
    return asked if stops < 0 or stops > asked else stops


class ServedRequest:
    """A request on the rank that owns it, with its block lease and its session."""

    __slots__ = (
        "arrived_ns",
        "assigned_ns",
        "computed",
        "computing_ns",
        "finish_step",
        "keys",
        "lease",
        "pins",
        "prompt_blocks",
        "reserved_ns",
        "session",
        "spec",
        "state",
        "tokens",
    )

    def __init__(self, spec: RequestSpec, now_ns: int) -> None:
        self.spec = spec
        self.state = _WAITING
        self.tokens = self.prompt_blocks = 0
        """What it costs its rank (`GroupLimits.tokens_of`), and how many blocks its prompt has."""
        self.lease: Lease | None = None
        self.pins: Lease | None = None
        """Generation: the blocks of its prompt that were cached here, which no peer writes into.
        Its `lease` has those after them."""
        self.session: Session | None = None
        self.assigned_ns = now_ns
        """When this rank got it. This time and the next three begin columns (`core.columns`)."""
        self.reserved_ns = -1
        """When it got its blocks."""
        self.arrived_ns = -1
        """Generation: when its KV was here."""
        self.computing_ns = -1
        """When the first step computed it."""
        self.computed = 0
        """Context: prompt tokens whose KV is in its blocks."""
        self.finish_step = 0
        """Generation: the number of the rank's decode step that makes its last token."""
        self.keys: tuple[int, ...] = ()
        """The content key of each prompt block (`core.content`), for a memory that reads them."""

    def fire(self, event: RequestEvent) -> Outcome | None:
        """Make the transition of `event`; returns the outcome to answer now, if any.

        Raises:
            IllegalTransitionError: the event is impossible in this state, which is unchanged.
        """
        line = TABLE[self.state][event]
        if line is None:
            story = self.session.story_lines() if self.session else []
            raise IllegalTransitionError(
                f"request {self.spec.request_id}", self.state, event, story
            )
        self.state = line.state
        return line.outcome
