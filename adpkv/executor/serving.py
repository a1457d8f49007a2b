"""What context and generation ranks have in common: own requests, answer them, free their blocks.

A request that ends is answered at once. Its blocks are freed only when its session says that no
peer touches them (`can_terminate_request_now`); until then the request is in
`pending_resource_release` and is asked about again in each iteration (contract 3.3). If other ranks
hold shards of it, both steps also wait for their votes (`core.ownership`, contract 5.7).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from adpkv.core.block_pool import Use
from adpkv.core.cancel import TransferCancelResult
from adpkv.core.content import content_keys, prompt_blocks
from adpkv.core.event_lines import WithOutcome
from adpkv.core.failure_memory import FailureMemory
from adpkv.core.group_limits import GroupLimits
from adpkv.core.rank_failure import Attempt
from adpkv.core.request import RequestEvent, RequestState, ServedRequest
from adpkv.core.session import Session
from adpkv.core.values import Cause, Outcome, RequestSpec, Response, SenderRef
from adpkv.executor.decisions import Decisions
from adpkv.executor.held_attempts import HeldAttempts
from adpkv.executor.leases import Leases
from adpkv.executor.step_work import StepWork, WorkMeter
from adpkv.subclassing import mypyc_attr
from adpkv.transport.staged import StagedTransport

if TYPE_CHECKING:
    from adpkv.executor.rank import Rank

__all__ = ["Serving"]

# Looked up once: to look a member up in its enum takes longer than what is done with it.
_ENDED: Final = RequestState.ENDED
_ACTIVE: Final = int(Use.ACTIVE)
_IN_TRANSFER: Final = int(Use.IN_TRANSFER)
_QUARANTINED: Final = int(Use.QUARANTINED)
_FINISHED: Final = RequestEvent.FINISHED
_COMPLETED: Final = Outcome.COMPLETED


@mypyc_attr(allow_interpreted_subclasses=True)
class Serving(ABC):
    """One rank's requests, from their assignment until their blocks are freed. The subclasses are
    `ContextServing` and `GenerationServing`."""

    def __init__(self, bundle: Rank) -> None:
        self._bundle = bundle
        self.rank = bundle.rank
        self.limits: GroupLimits = bundle.limits
        """What a request costs here. A rank failure changes only which ranks are left."""
        self.pool = bundle.pool
        self.memory = bundle.ports.memory
        self.transceiver = bundle.transceiver
        self.responses = bundle.responses
        self.recorder = bundle.ports.recorder
        self.owner = bundle.owner
        self.staged = bundle.ports.staged
        self._rules = bundle.rules
        self._makes_keys: bool = getattr(self.memory, "reads_keys", True)
        self.requests: dict[int, ServedRequest] = {}
        self.waiting: deque[ServedRequest] = deque()
        self.pending_resource_release: dict[int, ServedRequest] = {}
        self.decisions = Decisions(self)
        self.held = HeldAttempts(self, bundle.ports.mailbox)
        self.leases = Leases(bundle.pool, bundle.ports.memory)
        self.open_tokens = 0
        self.open_requests = 0
        self.turn = 0
        """The iteration in which it was last given a request."""
        self.meter = WorkMeter(bundle.ports.model.ticks_per_ns)
        self.failures = FailureMemory(bundle.memory_limits, bundle.rules.is_failing)

    # -- what differs between the kinds --------------------------------------------------------

    @abstractmethod
    def admit(self, now_ns: int) -> None:
        """Give KV blocks to waiting requests, first come, first served, while there are any."""

    @abstractmethod
    def waited_out(self, request: ServedRequest, now_ns: int) -> None:
        """The request has waited too long if it still waits for blocks (or a slot): then end it."""

    @abstractmethod
    def running(self) -> int:
        """How many requests are being computed."""

    def has_work(self) -> bool:
        """Whether the next step would compute anything here."""
        return self.running() > 0

    @abstractmethod
    def batch(self, now_ns: int) -> StepWork:
        """This rank's part of the step that begins now."""

    @abstractmethod
    def computed(self, count: int) -> Sequence[ServedRequest]:
        """Count the tokens of `count` steps over the last batch. Returns the requests that have all
        of their tokens now; `finish` is called for each."""

    @abstractmethod
    def finish(self, request: ServedRequest, now_ns: int) -> None:
        """Everything that this rank had to compute for the request is computed."""

    @abstractmethod
    def spent(self, request: ServedRequest, now_ns: int) -> tuple[int, ...]:
        """Nanoseconds in each column of this kind of server so far (`core.columns`)."""

    @abstractmethod
    def tokens_of(self, request: ServedRequest) -> int:
        """How many tokens its client has had from this rank."""

    @abstractmethod
    def received(self, request: ServedRequest, session: Session, now_ns: int) -> str:
        """The request's session is complete on this rank. Returns what is wrong with the KV that
        came; empty if nothing is."""

    @abstractmethod
    def arrived(self, request: ServedRequest, now_ns: int) -> None:
        """The request's KV has arrived, on all ranks that hold a shard of it."""

    @abstractmethod
    def left(self, request: ServedRequest, before: RequestState) -> None:
        """The request ended in state `before`: remove it from the list it was on."""

    # -- requests come and go ------------------------------------------------------------------

    def assign(self, spec: RequestSpec, now_ns: int) -> ServedRequest:
        """The plan assigned a request to this rank. If an earlier attempt of it is still in doubt
        here, it waits for the end of that (`held`)."""
        request = ServedRequest(spec, now_ns)
        limits = self.limits
        request.prompt_blocks = prompt_blocks(spec, limits.block_tokens)
        request.tokens = limits.tokens_of(spec)
        if self._makes_keys:
            request.keys = content_keys(spec, limits.block_tokens)
        self.open_tokens += request.tokens
        self.open_requests += 1
        self.turn = self._bundle.iteration
        self.recorder.event("assigned", spec.request_id)
        failures = self.failures
        if failures.pause_ns and failures.given((spec.request_id, spec.attempt), now_ns):
            self.recorder.event("probed", spec.request_id)
        if spec.request_id in self.requests:
            self.held.add(request)
        else:
            self.queue(request, now_ns)
        return request

    def queue(self, request: ServedRequest, now_ns: int) -> None:
        """Add an assigned request to those that wait for blocks."""
        self.requests[request.spec.request_id] = request
        self.waiting.append(request)

    def cancel(self, request_id: int, now_ns: int) -> None:
        """The client has cancelled the request. Ignored if this rank does not have it, or not any
        more."""
        request = self.requests.get(request_id)
        if request is not None and request.state is not RequestState.ENDED:
            self.end(request, RequestEvent.CANCEL, now_ns, "cancelled by its client")
        else:
            self.held.end(request_id, RequestEvent.CANCEL, now_ns, "cancelled by its client")

    def expire(self, expired: Iterable[Attempt], now_ns: int) -> None:
        """These requests have waited too long if they wait still. Most are not on this rank."""
        for request_id, attempt in expired:
            request = self.requests.get(request_id)
            if request is not None and request.spec.attempt == attempt:
                self.waited_out(request, now_ns)
            elif self.held.by_request and (request_id, attempt) in self.held.attempts():
                detail = "its earlier attempt is still in doubt"
                self.held.end(request_id, RequestEvent.TIMEOUT, now_ns, detail)

    def end(
        self,
        request: ServedRequest,
        event: RequestEvent,
        now_ns: int,
        detail: str = "",
        cause: Cause = Cause.OTHER,
    ) -> None:
        """A request ends: stage its answer, and free its blocks or quarantine them."""
        before = request.state
        outcome = request.fire(event)
        if outcome is not None:
            self.respond(request, outcome, now_ns, detail, cause=cause)
        if before is _ENDED:
            return
        if self.failures.pause_ns:
            self.failures.ended((request.spec.request_id, request.spec.attempt), now_ns)
        self.left(request, before)
        quiescent = self.can_terminate_request_now(request, now_ns)
        if self.staged is not None:
            self._free_blocks(request, self.staged)
        if request.session is None:
            self.owner.acted(request.spec.request_id)  # a vote would be about nobody
            self.release(request)
            return
        if self.owner.may_free(request.spec.request_id, quiescent):
            self.release(request)
            return
        self.leases.unpin(request)
        if request.lease is not None:
            self.pool.set_use(request.lease, _QUARANTINED)
        self.pending_resource_release[request.spec.request_id] = request

    def _free_blocks(self, request: ServedRequest, staged: StagedTransport) -> None:
        """With staging only this rank itself touches a request's blocks: they are free as soon as
        the request is over. Its session stays until it is proven that no peer touches its slot."""
        session = request.session
        if session is None or request.lease is None:
            return
        staged.retire(session.session_id)
        self.concealed(request, session)
        self.leases.take_back(request)
        request.lease = None

    def complete(self, request: ServedRequest, now_ns: int) -> None:
        """The request has all of its tokens: answer it and free its blocks."""
        before = request.state
        request.fire(_FINISHED)
        if self.failures.pause_ns:
            self.failures.ended((request.spec.request_id, request.spec.attempt), now_ns)
        self.respond(request, _COMPLETED, now_ns)
        self.left(request, before)
        self.release(request)

    def can_terminate_request_now(self, request: ServedRequest, now_ns: int) -> bool:
        """Whether the request's blocks may be freed now. If not, its transfer is cancelled."""
        if request.session is None:
            return True
        answer = self.transceiver.cancel_request_structured(request.spec.request_id, now_ns)
        if answer not in _QUIET_ANSWERS:
            self.recorder.event("cancel_answer", request.spec.request_id, answer=answer)
        return self._rules.may_release(answer)

    def retry_pending(self, now_ns: int) -> None:
        """Ask again about the requests whose blocks could not be freed so far."""
        for request_id, request in list(self.pending_resource_release.items()):
            answer = self.transceiver.cancel_request_structured(request_id, now_ns)
            if self._rules.may_release(answer) and self.owner.may_free(request_id, quiescent=True):
                self.release(request)

    def release(self, request: ServedRequest) -> None:
        """Free an ended request's blocks and forget it. No peer may touch them any more."""
        request_id = request.spec.request_id
        lease, session = request.lease, request.session
        if lease is not None and session is not None and lease.use != _ACTIVE:
            self.concealed(request, session)
        self.leases.take_back(request)
        self.transceiver.forget(request_id)
        self.pending_resource_release.pop(request_id, None)
        del self.requests[request_id]

    def holders(self, leases: Sequence[int]) -> tuple[int, ...]:
        """The requests that have or recently had these leases; for violations' reports only."""
        wanted = set(leases)
        every = ((lease, i) for i, r in self.requests.items() for lease in (r.lease, r.pins))
        now = [(lease.number, i) for lease, i in every if lease is not None]
        found = [request for number, request in (*self.leases.recent(), *now) if number in wanted]
        return tuple(dict.fromkeys(found))

    def closed(self, request: ServedRequest) -> None:
        """The request no longer counts as this rank's load."""
        self.open_tokens -= request.tokens
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
        """Stage the answer for the next flush, if this rank is the one that answers."""
        if not self.owner.answers:
            return
        spec = request.spec
        self.responses.stage(
            Response(
                spec.request_id,
                spec.attempt,
                outcome,
                self.rank,
                detail,
                sender,
                self.spent(request, now_ns),
                self.tokens_of(request),
                cause,
            )
        )
        self.recorder.note(WithOutcome, "responded", spec.request_id, outcome)

    # -- sessions ------------------------------------------------------------------------------

    def exposed(self, session: Session) -> None:
        """A peer may touch the session's blocks from now on; with staging, its slot."""
        request: ServedRequest = session.owner
        assert request.lease is not None
        if self.staged is None:
            self.pool.set_use(request.lease, _IN_TRANSFER)

    @abstractmethod
    def concealed(self, request: ServedRequest, session: Session) -> None:
        """It is proven that no peer touches the session's blocks any more."""

    # -- what the group asks ------------------------------------------------------------------

    def stop(self, now_ns: int, detail: str) -> None:
        """The instance stops: every open request gets its one terminal response."""
        for request in list(self.requests.values()):
            if request.state is not RequestState.ENDED:
                self.end(request, RequestEvent.STOP, now_ns, detail)
        self.held.stop(now_ns, detail)

    @abstractmethod
    def load(self) -> tuple[bool, int, int, int]:
        """(whether the next step computes anything here, open tokens, open requests, requests being
        computed). The numbers are 0 on a rank that does not answer, so that a group counts each
        request once."""

    @abstractmethod
    def room(self) -> tuple[int, int, int, tuple[tuple[int, int, int], ...]]:
        """(KV blocks, places in the batch, transfers, transfers by sender) that new requests could
        have now. What those need that are bound to this rank, and wait, is theirs."""

    def free_blocks(self) -> int:
        """KV blocks that nothing bound to this rank has or waits for."""
        free = self.pool.available
        for request in (*self.waiting, *self.held.requests()):
            free -= self.limits.blocks_of(request.spec)
        return free

    def cached(
        self, asked: Iterable[RequestSpec], enough: int
    ) -> tuple[tuple[int, int, int, int], ...]:
        """(request, attempt, blocks of its prompt in this rank's prefix cache, how many of them
        other requests use) of those that have any there and need more than `enough` blocks."""
        limits, pool, found = self.limits, self.pool, []
        for one in asked:
            # Of most nothing is there at all.
            if pool.knows(one.block_hashes) and limits.blocks_of(one) > enough:
                there, used = pool.cached(self.reusable(one))
                if there:
                    found.append((one.request_id, one.attempt, there, used))
        return tuple(found)

    @abstractmethod
    def reusable(self, spec: RequestSpec) -> Sequence[int]:
        """The prefix hashes of those blocks of a prompt that need not be made here if they are in
        the cache."""

    def owed(self, asked: Iterable[Attempt]) -> tuple[Attempt, ...]:
        """Those of `asked` for which this rank will still send an answer."""
        here = {
            (request.spec.request_id, request.spec.attempt)
            for request in self.requests.values()
            if request.state not in _ANSWERED
        }
        here |= self.held.attempts()
        return tuple(attempt for attempt in asked if attempt in here)

    def leave(self) -> None:
        """The rank leaves: release the requests that only wait for other ranks' proofs, and the
        dummy's block."""
        quiescent = {v.request_id for v in self.owner.votes if v.outcome is None}
        for request_id, request in list(self.pending_resource_release.items()):
            if request_id in quiescent:
                self.owner.acted(request_id)
                self.release(request)
        self.leases.free_dummy()


_ANSWERED = frozenset({RequestState.HANDED_OVER, RequestState.ENDED})
_QUIET_ANSWERS = frozenset({TransferCancelResult.NOT_FOUND, TransferCancelResult.ALREADY_COMPLETE})
