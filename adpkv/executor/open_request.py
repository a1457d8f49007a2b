"""A request as the coordinator keeps it, from its arrival to its one terminal answer."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from adpkv.core.admission import AdmissionState
from adpkv.core.columns import Ledger
from adpkv.core.rank_failure import Attempt
from adpkv.core.record import RequestRecord
from adpkv.core.topology import Instance, Kind
from adpkv.core.values import Cause, Outcome, RequestSpec, Response
from adpkv.workload.port import Arrival

__all__ = ["OpenRequest", "as_taken", "is_lost"]

# Looked up once: to look a member up in its enum takes longer than what is done with it.
_CANCELLED: Final = Outcome.CANCELLED
_FAILED: Final = Outcome.FAILED
_PREFILLED: Final = Outcome.PREFILLED
_ARRIVED: Final = AdmissionState.ARRIVED
_CONTEXT: Final = Kind.CONTEXT

_NOWHERE: Final[Mapping[Kind, Instance | None]] = MappingProxyType({})


def as_taken(request: OpenRequest, response: Response) -> tuple[Response, bool]:
    """An answer about a request that was taken from its instance: whether it was lost by that, and
    the answer for its client if so. One that is complete is complete, and one that its client has
    cancelled is cancelled."""
    if response.outcome not in (_CANCELLED, _PREFILLED) or request.cancelled_ns >= 0:
        return response, False
    detail = f"{request.taken_from} was taken out of service"
    return msgspec.structs.replace(response, outcome=_FAILED, detail=detail), True


def is_lost(request: OpenRequest, response: Response, failed: Collection[int]) -> bool:
    """Whether a request that is to be computed again failed because the rank with its KV has
    failed. The response may come before the message about that rank."""
    if response.outcome is not _FAILED:
        return False
    sender = request.first.sender if request.first is not None else None
    gone = sender is not None and sender.rank in failed
    return gone or response.cause is Cause.PEER_LOST


class OpenRequest:
    """A request that has no terminal answer yet."""

    __slots__ = (
        "arrival",
        "attempt",
        "cancelled_ns",
        "context",
        "earlier",
        "first",
        "gave_up",
        "generation",
        "holder",
        "ledger",
        "number",
        "refusal",
        "request_id",
        "retry_of",
        "state",
        "taken_from",
        "tries",
        "weight",
    )

    def __init__(self, request_id: int, arrival: Arrival) -> None:
        self.request_id = request_id
        self.arrival = arrival
        self.state = _ARRIVED
        self.context: Instance | None = None
        self.generation: Instance | None = None
        self.holder: Instance | None = None
        """The instance that must answer for it now; None before it was sent to one."""
        self.weight = 0
        """What it adds to the load of that instance: the tokens that it will cost there."""
        self.first: Response | None = None
        """The context instance's PREFILLED answer."""
        self.ledger = Ledger(arrival.at_ns)
        self.number = request_id
        """Which request of the workload it is. Those that are sent again have the same."""
        self.tries, self.retry_of = 1, -1
        """How often its client has sent it, and which request was the first of them."""
        self.refusal = ""
        """Why it is not admitted."""
        self.gave_up = False
        """Whether its client's deadline has passed."""
        self.cancelled_ns = -1
        self.attempt = 0
        """How often it was computed again. Answers about an earlier attempt are ignored."""
        self.earlier = _NOWHERE
        """Where its last attempt was: some of its KV may be in doubt there."""
        self.taken_from = ""
        """The name of the instance that it was taken from, and that has to let it go."""

    @property
    def key(self) -> Attempt:
        """(request, attempt)."""
        return (self.request_id, self.attempt)

    def spec(self) -> RequestSpec:
        """The request as it is sent to an instance."""
        arrival = self.arrival
        return RequestSpec(
            self.request_id,
            self.attempt,
            arrival.prompt_tokens,
            arrival.output_tokens,
            arrival.block_hashes,
            arrival.wanted,
            self.first.sender if self.first is not None else None,
            arrival.stops_after,
        )

    def unscheduled_ns(self, now_ns: int) -> int:
        """For how long no server has had it: since its arrival, or since its present attempt began.
        In nanoseconds, for its queue limit, which so counts from there."""
        return (
            max(now_ns - self.ledger.since_ns, 0) if self.attempt else now_ns - self.arrival.at_ns
        )

    def given(self, instance: Instance) -> None:
        """It is sent to this instance."""
        self.holder, self.weight = instance, self.arrival.prompt_tokens
        if instance.kind is _CONTEXT:
            self.context = instance
        else:
            self.generation = instance
            self.weight += self.arrival.output_tokens

    def begin_anew(self, now_ns: int) -> None:
        """Begin a new attempt, from which its client gets all tokens."""
        self.attempt += 1
        self.ledger.lost(now_ns)
        self.earlier = {Kind.CONTEXT: self.context, Kind.GENERATION: self.generation}
        self.context = self.generation = self.holder = self.first = None
        self.taken_from = ""

    def record(
        self, outcome: Outcome, detail: str, last: Response | None, now_ns: int
    ) -> RequestRecord:
        """The request ends: its record. `last` is the response that ended it, if any."""
        arrival, first = self.arrival, self.first
        tokens = 0
        if last is None:
            self.ledger.unanswered(now_ns)
        else:
            self.ledger.forwarded(now_ns)
            tokens = last.tokens
        # In the order of `COLUMNS`.
        queue, queued, prefill, hand_over, *others = self.ledger.spent
        blocks, slot, peer_slot, transfer, decode_queue, decode, lost = others
        decoded = last if self.generation is not None else None
        prefilled = first if first is not None else last
        # By place: with a name each, msgspec looks for the place of each of them.
        return RequestRecord(
            self.request_id,
            arrival.at_ns,
            arrival.prompt_tokens,
            arrival.output_tokens,
            outcome,
            detail,
            self.context.index if self.context else -1,
            prefilled.rank if prefilled else -1,
            self.generation.index if self.generation else -1,
            decoded.rank if decoded else -1,
            now_ns - decode_queue - decode if tokens else -1,  # first_token_ns
            now_ns,
            queue,
            queued,
            prefill,
            hand_over,
            blocks,
            slot,
            peer_slot,
            transfer,
            decode_queue,
            decode,
            lost,
            tokens,
            self.cancelled_ns,
            1 if outcome is not _FAILED or last else 0,  # responses
            self.attempt,
            self.retry_of,
            arrival.client_id,
        )
