"""What context and generation ranks have in common: owning requests, answering, letting go.

A request that ends is answered at once; its blocks are given back only when its session says that
nobody touches them (`can_terminate_request_now`), else it is kept in `pending_resource_release`
and asked again on each iteration (contract 3.3). Where other ranks hold replicas of it, both wait
for their votes too: that is the owner's affair (`core.ownership`, contract 5.7).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from adpkv.core.block_pool import Use
from adpkv.core.cancel import TransferCancelResult
from adpkv.core.content import content_keys
from adpkv.core.plan import GroupLimits
from adpkv.core.rank_failure import Attempt
from adpkv.core.request import RequestEvent, RequestState, ServedRequest
from adpkv.core.session import Session
from adpkv.core.values import Cause, Outcome, RequestSpec, Response, SenderRef
from adpkv.executor.decisions import Decisions
from adpkv.executor.leases import Leases
from adpkv.executor.step_work import StepWork, WorkMeter

if TYPE_CHECKING:
    from adpkv.executor.rank import Rank

__all__ = ["Serving"]


class Serving(ABC):
    """One rank's requests, from assignment until their blocks are back."""

    def __init__(self, bundle: Rank) -> None:
        self._bundle = bundle
        self.rank = bundle.rank
        self.pool = bundle.pool
        self.memory = bundle.memory
        self.transceiver = bundle.transceiver
        self.responses = bundle.responses
        self.recorder = bundle.recorder
        self.owner = bundle.owner
        self._rules = bundle.rules
        self.requests: dict[int, ServedRequest] = {}
        self.waiting: deque[ServedRequest] = deque()
        self.pending_resource_release: dict[int, ServedRequest] = {}
        self.decisions = Decisions(self)
        self.leases = Leases(bundle.pool, bundle.memory)
        self.open_tokens = 0
        self.open_requests = 0
        self.meter = WorkMeter()

    @property
    def limits(self) -> GroupLimits:
        """The group's shape as of now: a rank failure changes it."""
        return self._bundle.limits

    # -- what differs between the kinds --------------------------------------------------------

    @abstractmethod
    def admit(self, now_ns: int) -> None:
        """Give KV blocks to waiting requests, first come first served, while there are any."""

    @abstractmethod
    def expire(self, now_ns: int) -> None:
        """End what has waited for blocks for too long."""

    @abstractmethod
    def next_expiry_ns(self) -> int:
        """When something will have; NEVER if nothing waits."""

    @abstractmethod
    def has_work(self) -> bool:
        """Whether the next step would compute anything here."""

    @abstractmethod
    def running(self) -> int:
        """How many requests compute."""

    @abstractmethod
    def batch(self, now_ns: int) -> StepWork:
        """What this rank brings to the step that begins now."""

    def stepped(self, count: int, began_ns: int, now_ns: int) -> bool:
        """`count` steps over the last batch were made since `began_ns`. Says whether anything came
        of it but tokens."""
        self.meter.stepped(count, now_ns - began_ns)
        done = self.computed(count)
        for request in done:
            self.finish(request, now_ns)
        return bool(done)

    @abstractmethod
    def computed(self, count: int) -> Sequence[ServedRequest]:
        """Count the tokens of `count` steps over the last batch; which requests have all of theirs
        now, for `finish`."""

    @abstractmethod
    def finish(self, request: ServedRequest, now_ns: int) -> None:
        """All that it was to compute here is computed."""

    @abstractmethod
    def spent(self, request: ServedRequest, now_ns: int) -> tuple[int, ...]:
        """How long it was in each column of this kind of server so far (`core.columns`)."""

    @abstractmethod
    def tokens_of(self, request: ServedRequest) -> int:
        """How many tokens its client has had from this rank."""

    @abstractmethod
    def received(self, request: ServedRequest, session: Session, now_ns: int) -> str:
        """The request's session is complete here. Says what is wrong with what came, if anything
        is."""

    @abstractmethod
    def arrived(self, request: ServedRequest, now_ns: int) -> None:
        """The request's KV is where it was to go, on all ranks that hold it."""

    @abstractmethod
    def left(self, request: ServedRequest, before: RequestState) -> None:
        """The request ended in state `before`: take it off whatever list it was on."""

    # -- requests come and go ------------------------------------------------------------------

    def assign(self, spec: RequestSpec, now_ns: int) -> ServedRequest:
        """The plan gave this rank a request."""
        request = ServedRequest(spec, now_ns)
        request.keys = content_keys(spec, self.limits.block_tokens)
        self.requests[spec.request_id] = request
        self.waiting.append(request)
        self.open_tokens += self.limits.tokens_of(spec)
        self.open_requests += 1
        self.recorder.event("assigned", spec.request_id)
        return request

    def refuse(self, spec: RequestSpec) -> None:
        """another attempt of a request whose blocks are still in doubt here."""
        detail = f"its earlier attempt is still in doubt on rank {self.rank}"
        answer = Response(spec.request_id, spec.attempt, Outcome.FAILED, self.rank, detail)
        self.responses.stage(answer)
        self.recorder.event("responded", spec.request_id, outcome=Outcome.FAILED)

    def cancel(self, request_id: int, now_ns: int) -> None:
        """Its client no longer wants it. Unknown here: another rank's, or over."""
        request = self.requests.get(request_id)
        if request is not None and request.state is not RequestState.ENDED:
            self.end(request, RequestEvent.CANCEL, now_ns, "cancelled by its client")

    def end(
        self,
        request: ServedRequest,
        event: RequestEvent,
        now_ns: int,
        detail: str = "",
        cause: Cause = Cause.OTHER,
    ) -> None:
        """A request ends: tell its client, give its blocks back or keep them in doubt."""
        before = request.state
        outcome = request.fire(event)
        if outcome is not None:
            self.respond(request, outcome, now_ns, detail, cause=cause)
        if before is RequestState.ENDED:
            return
        self.left(request, before)
        quiescent = self.can_terminate_request_now(request, now_ns)
        if request.session is None or self.owner.lets_go(request.spec.request_id, quiescent):
            self.release(request)
            return
        if request.lease is not None:
            self.pool.turn(request.lease, Use.QUARANTINED)
        self.pending_resource_release[request.spec.request_id] = request

    def complete(self, request: ServedRequest, now_ns: int) -> None:
        """Its client has all it asked for."""
        before = request.state
        request.fire(RequestEvent.FINISHED)
        self.respond(request, Outcome.COMPLETED, now_ns)
        self.left(request, before)
        self.release(request)

    def can_terminate_request_now(self, request: ServedRequest, now_ns: int) -> bool:
        """Ask the transceiver, which notes the wish; only the first three answers free."""
        if request.session is None:
            return True
        answer = self.transceiver.cancel_request_structured(request.spec.request_id, now_ns)
        if answer not in _QUIET_ANSWERS:
            self.recorder.event("cancel_answer", request.spec.request_id, answer=answer)
        return self._rules.may_release(answer)

    def retry_pending(self, now_ns: int) -> None:
        """Ask again for what could not be freed so far."""
        for request_id, request in list(self.pending_resource_release.items()):
            answer = self.transceiver.cancel_request_structured(request_id, now_ns)
            if self._rules.may_release(answer) and self.owner.lets_go(request_id, quiescent=True):
                self.release(request)

    def release(self, request: ServedRequest) -> None:
        """The request's blocks are quiescent, and nobody will ask for it again."""
        request_id = request.spec.request_id
        lease, session = request.lease, request.session
        if lease is not None and session is not None and lease.use is not Use.ACTIVE:
            self.concealed(request, session)
        self.leases.take_back(request)
        self.transceiver.forget(request_id)
        self.pending_resource_release.pop(request_id, None)
        del self.requests[request_id]

    def holders(self, leases: Sequence[int]) -> tuple[int, ...]:
        """Which requests have or recently had these leases: for a report, not for a decision."""
        wanted = set(leases)
        now = [(r.lease.number, i) for i, r in self.requests.items() if r.lease is not None]
        found = [request for number, request in (*self.leases.recent(), *now) if number in wanted]
        return tuple(dict.fromkeys(found))

    def closed(self, request: ServedRequest) -> None:
        """The request no longer counts as this rank's load."""
        self.open_tokens -= self.limits.tokens_of(request.spec)
        self.open_requests -= 1

    def respond(
        self,
        request: ServedRequest,
        outcome: Outcome,
        now_ns: int,
        detail: str = "",
        *,
        cause: Cause = Cause.OTHER,
        sender: SenderRef | None = None,
    ) -> None:
        """Stage what the client is told; it leaves in the next flush. One rank tells."""
        if not self.owner.answers:
            return
        spec = request.spec
        self.responses.stage(
            Response(
                request_id=spec.request_id,
                attempt=spec.attempt,
                outcome=outcome,
                rank=self.rank,
                detail=detail,
                sender=sender,
                spent=self.spent(request, now_ns),
                tokens=self.tokens_of(request),
                cause=cause,
            )
        )
        self.recorder.event("responded", spec.request_id, outcome=outcome)

    # -- sessions ------------------------------------------------------------------------------

    def exposed(self, session: Session) -> None:
        """A peer may touch the session's blocks from now on."""
        request = self.requests[session.session_id[0]]
        assert request.lease is not None
        self.pool.turn(request.lease, Use.IN_TRANSFER)

    @abstractmethod
    def concealed(self, request: ServedRequest, session: Session) -> None:
        """It is proven that no peer touches them any more."""

    # -- what the group asks ------------------------------------------------------------------

    def stop(self, now_ns: int, detail: str) -> None:
        """The instance ends: every open request gets its one terminal response."""
        for request in list(self.requests.values()):
            if request.state is not RequestState.ENDED:
                self.end(request, RequestEvent.STOP, now_ns, detail)

    def load(self) -> tuple[int, int, int]:
        """Open tokens, open requests and how many of these compute, as the group counts them."""
        if not self.owner.answers:
            return 0, 0, 0
        return self.open_tokens, self.open_requests, self.running()

    def owed(self, asked: Iterable[Attempt]) -> tuple[Attempt, ...]:
        """Those of these requests that this rank will still answer for."""
        here = {
            (request.spec.request_id, request.spec.attempt)
            for request in self.requests.values()
            if request.state not in _ANSWERED
        }
        return tuple(attempt for attempt in asked if attempt in here)

    def part(self) -> None:
        """On the way out: what only waited for another rank's proof need not wait any more."""
        quiescent = {v.request_id for v in self.owner.votes if v.outcome is None}
        for request_id, request in list(self.pending_resource_release.items()):
            if request_id in quiescent:
                self.owner.acted(request_id)
                self.release(request)
        self.leases.free_dummy()


_ANSWERED = frozenset({RequestState.HANDED_OVER, RequestState.ENDED})
_QUIET_ANSWERS = frozenset({TransferCancelResult.NOT_FOUND, TransferCancelResult.ALREADY_COMPLETE})
