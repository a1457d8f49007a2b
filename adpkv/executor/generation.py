"""A generation rank: fetches a prompt's KV, checks it, decodes."""

from __future__ import annotations

from collections.abc import Sequence

from adpkv.core.block_pool import Use
from adpkv.core.columns import spans
from adpkv.core.content import prompt_blocks
from adpkv.core.ids import NEVER
from adpkv.core.request import RequestEvent, RequestState, ServedRequest
from adpkv.core.scheduler import DecodeSchedule
from adpkv.core.session import Session
from adpkv.core.values import RequestSpec
from adpkv.executor.rank import Rank
from adpkv.executor.serving import Serving
from adpkv.executor.step_work import StepWork
from adpkv.model.port import Batch

__all__ = ["GenerationServing"]

_DUMMY = StepWork()


class GenerationServing(Serving):
    """The receiver's end of a session per request, then decode."""

    def __init__(self, bundle: Rank, most_sequences: int, *, verify_at_end: bool = False) -> None:
        super().__init__(bundle)
        self._verify_at_end = verify_at_end
        self.schedule = DecodeSchedule()
        self._most = most_sequences
        self._admitted = 0

    def assign(self, spec: RequestSpec, now_ns: int) -> ServedRequest:
        """The session begins to wait at once: its wait limit covers blocks and slot."""
        request = super().assign(spec, now_ns)
        assert spec.sender is not None
        nbytes = prompt_blocks(spec, self.limits.block_tokens) * self.memory.block_bytes
        sender = self.owner.sender(spec.sender.rank)
        request.session = self.transceiver.open(
            spec.request_id, spec.attempt, sender, nbytes, now_ns
        )
        return request

    def admit(self, now_ns: int) -> None:
        """Blocks for the prompt and all tokens to come: what decodes is never evicted."""
        waiting = self.waiting
        while waiting and self._admitted < self._most:
            request = waiting[0]
            spec, session = request.spec, request.session
            if not self.leases.give(request, self.limits.blocks_of(spec), ()):
                return
            waiting.popleft()
            assert request.lease is not None
            assert session is not None
            assert spec.sender is not None
            self._admitted += 1
            request.fire(RequestEvent.RECEIVE_BEGAN)
            request.reserved_ns = now_ns
            count = prompt_blocks(spec, self.limits.block_tokens)
            self.transceiver.reserve(
                session, request.lease.blocks[:count], spec.sender.blocks, now_ns
            )

    def exposed(self, session: Session) -> None:
        """Somebody else may write into the blocks from now on."""
        super().exposed(session)
        lease = self.requests[session.session_id[0]].lease
        assert lease is not None
        self.memory.expect_write(lease.number, session.blocks)

    def concealed(self, request: ServedRequest, session: Session) -> None:
        """Proven: nobody writes any more."""
        assert request.lease is not None
        self.memory.end_write(request.lease.number, session.blocks)

    def expire(self, now_ns: int) -> None:
        """A waiting request's session has a wait limit of its own."""

    def next_expiry_ns(self) -> int:
        """Left to the session."""
        return NEVER

    def has_work(self) -> bool:
        """Whether a request decodes."""
        return self.schedule.sequences > 0

    def running(self) -> int:
        """Requests that decode."""
        return self.schedule.sequences

    def batch(self, now_ns: int) -> StepWork:
        """All that decode take part in each step, until the first of them finishes."""
        schedule = self.schedule
        if not schedule.sequences:
            return _DUMMY
        waited = schedule.begin(now_ns)
        batch = Batch(sequences=schedule.sequences, context_tokens=schedule.context_tokens)
        if not self.owner.answers:
            return StepWork(batch, schedule.most_steps())
        return StepWork(batch, schedule.most_steps(), schedule.sequences, waited)

    def spent(self, request: ServedRequest, now_ns: int) -> tuple[int, ...]:
        """Until it has blocks, a slot, its KV, a place in the batch, its last token. Of the time
        for the KV, that in its sender's queue is a column of its own."""
        session = request.session
        assert session is not None
        marks = (
            request.assigned_ns,
            request.reserved_ns,
            session.started_ns,
            request.arrived_ns,
            request.computing_ns,
        )
        blocks, slot, transfer, queue, decode = spans(marks, now_ns)
        there = 0
        if session.peer_queued_ns >= 0:
            until_ns = session.began_ns if session.began_ns >= 0 else now_ns
            there = min(max(until_ns - session.peer_queued_ns, 0), transfer)
        return blocks, slot, there, transfer - there, queue, decode

    def tokens_of(self, request: ServedRequest) -> int:
        """The context instance's, and what it decoded; none before the KV is here."""
        return self.schedule.generated(request) if request.arrived_ns >= 0 else 0

    def computed(self, count: int) -> Sequence[ServedRequest]:
        """Every decoding request has `count` tokens more."""
        if self.owner.answers:
            self.meter.tokens += count * self.schedule.sequences
        return self.schedule.stepped(count)

    def finish(self, request: ServedRequest, now_ns: int) -> None:
        """It has its last token."""
        if self._verify_at_end:
            self._look_again(request)
        self.complete(request, now_ns)

    def received(self, request: ServedRequest, session: Session, now_ns: int) -> str:
        """The KV is here: check it."""
        lease, spec = request.lease, request.spec
        assert lease is not None
        self.concealed(request, session)
        self.pool.turn(lease, Use.ACTIVE)
        right = self.memory.verify(
            spec.request_id, session.blocks, request.keys, spec.prompt_tokens
        )
        return "" if right else "wrong KV arrived"

    def arrived(self, request: ServedRequest, now_ns: int) -> None:
        """Decode from the next step on."""
        request.fire(RequestEvent.RECEIVED)
        request.arrived_ns = now_ns
        self.schedule.add(request)

    def _look_again(self, request: ServedRequest) -> None:
        """Was the prompt's KV overwritten while the request decoded? An oracle's look: what the
        client is told stays the same, whether somebody looks or not."""
        spec, session = request.spec, request.session
        assert session is not None
        self.memory.verify_again(spec.request_id, session.blocks, request.keys, spec.prompt_tokens)

    def left(self, request: ServedRequest, before: RequestState) -> None:
        """Off the waiting list, or out of the batch."""
        self.closed(request)
        if before is RequestState.WAITING:
            self.waiting.remove(request)
            return
        self._admitted -= 1
        if before is RequestState.DECODING:
            self.schedule.remove(request)
