"""A context rank: it prefills prompts in chunks, answers the coordinator, and sends the KV."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from adpkv.core.columns import spans
from adpkv.core.event_lines import Cached
from adpkv.core.rank_status import NO_LIMIT
from adpkv.core.request import RequestEvent, RequestState, ServedRequest, made_tokens
from adpkv.core.scheduler import PrefillSchedule
from adpkv.core.session import Session
from adpkv.core.values import Outcome, RequestSpec, SenderRef
from adpkv.executor.rank import Rank
from adpkv.executor.serving import Serving
from adpkv.executor.step_work import DUMMY, StepWork
from adpkv.model.port import Batch
from adpkv.subclassing import mypyc_attr

__all__ = ["ContextServing"]

# Looked up once: to look a member up in its enum takes longer than what is done with it.
_ON_PREFILLED: Final = RequestEvent.PREFILLED
_PREFILL_BEGAN: Final = RequestEvent.PREFILL_BEGAN
_SESSION_OVER: Final = RequestEvent.SESSION_OVER
_OUTCOME_PREFILLED: Final = Outcome.PREFILLED
_PREFILLING: Final = RequestState.PREFILLING
_WAITING: Final = RequestState.WAITING


def _is_all(spec: RequestSpec) -> bool:
    """Whether the prompt's step makes all of the request's tokens: nothing is left to decode."""
    return made_tokens(spec) <= 1


@mypyc_attr(allow_interpreted_subclasses=True)
class ContextServing(Serving):
    """Serving on a context rank: prefill, then the sender's end of one session per request."""

    def __init__(self, bundle: Rank, token_budget: int) -> None:
        super().__init__(bundle)
        self.schedule = PrefillSchedule(token_budget)
        self._slope: Callable[[int], int] | None = getattr(bundle.ports.model, "pairs_slope", None)

    def admit(self, now_ns: int) -> None:
        """Give blocks to waiting prompts in order. A cached prefix is not computed again."""
        waiting, block_tokens = self.waiting, self.limits.block_tokens
        while waiting:
            request = waiting[0]
            spec = request.spec
            if not self.leases.give(request, request.prompt_blocks, self.reusable(spec)):
                return
            waiting.popleft()
            assert request.lease is not None
            request.fire(_PREFILL_BEGAN)
            request.reserved_ns = now_ns
            request.computed = request.lease.reused * block_tokens
            self.schedule.add(request)
            self.meter.prompt_tokens += spec.prompt_tokens
            self.meter.cached_tokens += request.computed
            self.recorder.note(Cached, "prefill_began", spec.request_id, request.computed)

    def reusable(self, spec: RequestSpec) -> tuple[int, ...]:
        """All before the last token, which is always computed, because the first output token
        follows from it; and never into a shared block, which a transfer may be reading."""
        return spec.block_hashes[: (spec.prompt_tokens - 1) // self.limits.block_tokens]

    def waited_out(self, request: ServedRequest, now_ns: int) -> None:
        """End it if it has no blocks yet."""
        if request.state is RequestState.WAITING:
            self.decisions.decide(request, Outcome.TIMED_OUT, now_ns, "no KV blocks for its prompt")

    def running(self) -> int:
        """How many prompts have their blocks and are not done."""
        return len(self.schedule.running)

    def load(self) -> tuple[bool, int, int, int]:
        """As `Serving.load`: prompts."""
        running = len(self.schedule.running)
        if not self.owner.answers:
            return running > 0, 0, 0, 0
        return running > 0, self.open_tokens, self.open_requests, running

    def room(self) -> tuple[int, int, int, tuple[tuple[int, int, int], ...]]:
        """As `Serving.room`: nothing but blocks limits how many prompts it can have."""
        bound = self.waiting or self.held.by_request
        return self.free_blocks() if bound else self.pool.available, NO_LIMIT, NO_LIMIT, ()

    def batch(self, now_ns: int) -> StepWork:
        """The next chunks. They change from step to step, but for those of a long prompt: as many
        of these in a row as fill the budget alone, if the model says what more pairs cost."""
        if not self.schedule.running:
            return DUMMY
        tokens, pairs, most = self.schedule.plan(now_ns)
        batch = Batch(tokens, pairs)
        if most == 1 or self._slope is None:
            return batch, 1, 0, (), 0
        return batch, most, 0, (), self._slope(tokens * tokens)

    def spent(self, request: ServedRequest, now_ns: int) -> tuple[int, ...]:
        """`context_queue`: until a step computes it. `prefill`: from then on."""
        return spans((request.assigned_ns, request.computing_ns), now_ns)

    def tokens_of(self, request: ServedRequest) -> int:
        """One if the request is over with that; any other gets all from the generation instance."""
        spec = request.spec
        made = made_tokens(spec)
        return made if made <= 1 and request.computed == spec.prompt_tokens else 0

    def computed(self, count: int) -> Sequence[ServedRequest]:
        """The chunks of these steps are computed; returns the prompts that are complete."""
        chunks = self.schedule.stepped(count)
        if not chunks:
            return ()
        prefilled: list[ServedRequest] = []
        for request, tokens in chunks:
            lease, spec = request.lease, request.spec
            assert lease is not None
            done = request.computed
            self.meter.tokens += tokens if self.owner.answers else 0
            self.memory.compute(lease.blocks, request.keys, done - tokens, done)
            if done == spec.prompt_tokens:
                prefilled.append(request)
        return prefilled

    def finish(self, request: ServedRequest, now_ns: int) -> None:
        """Answer the coordinator for a complete prompt and prepare its KV for sending. A request
        of which this made all tokens, one or none, is complete."""
        lease, spec = request.lease, request.spec
        assert lease is not None
        self.pool.commit(lease, spec.block_hashes)
        if _is_all(spec):
            self.complete(request, now_ns)
            return
        self.schedule.done(request)
        self.closed(request)
        blocks = tuple(lease.blocks)
        nbytes = len(blocks) * self.memory.block_bytes
        open_session = self.transceiver.open
        session = open_session(spec.request_id, spec.attempt, -1, nbytes, now_ns, request)
        self.transceiver.prepare(session, blocks)
        request.fire(_ON_PREFILLED)
        self.respond(request, _OUTCOME_PREFILLED, now_ns, sender=SenderRef(self.rank, blocks))
        request.session = session

    def received(self, request: ServedRequest, session: Session, now_ns: int) -> str:
        """Nothing to check: the receiver checks the KV."""
        return ""

    def arrived(self, request: ServedRequest, now_ns: int) -> None:
        """The receiver has the KV: this rank's copy goes to the prefix cache."""
        self.end(request, _SESSION_OVER, now_ns)

    def concealed(self, request: ServedRequest, session: Session) -> None:
        """Nothing to do: a sender's blocks are only read."""

    def left(self, request: ServedRequest, before: RequestState) -> None:
        """Remove the request from the waiting list or the schedule."""
        if before is _WAITING:
            self.waiting.remove(request)
            self.closed(request)
        elif before is _PREFILLING:
            self.schedule.done(request)
            self.closed(request)
