"""A generation rank: it fetches a prompt's KV, checks it, and decodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from adpkv.core.block_pool import Use
from adpkv.core.columns import spans
from adpkv.core.request import RequestEvent, RequestState, ServedRequest
from adpkv.core.scheduler import DecodeSchedule
from adpkv.core.session import Session
from adpkv.core.values import RequestSpec
from adpkv.executor.rank import Rank
from adpkv.executor.serving import Serving
from adpkv.executor.step_work import DUMMY, StepWork
from adpkv.model.port import Batch
from adpkv.subclassing import mypyc_attr

__all__ = ["GenerationServing"]

# Looked up once: to look a member up in its enum takes longer than what is done with it.
_RECEIVED: Final = RequestEvent.RECEIVED
_RECEIVE_BEGAN: Final = RequestEvent.RECEIVE_BEGAN
_ACTIVE: Final = int(Use.ACTIVE)
_DECODING: Final = RequestState.DECODING
_WAITING: Final = RequestState.WAITING


@mypyc_attr(allow_interpreted_subclasses=True)
class GenerationServing(Serving):
    """Serving on a generation rank: the receiver's end of one session per request, then decode."""

    def __init__(self, bundle: Rank, most_sequences: int, *, verify_at_end: bool = False) -> None:
        super().__init__(bundle)
        self._verify_at_end = verify_at_end
        self.schedule = DecodeSchedule()
        self._most = most_sequences
        self._admitted = 0

    def queue(self, request: ServedRequest, now_ns: int) -> None:
        """Take a request and open its session. The session's wait limit covers the waits for blocks
        and for a slot."""
        super().queue(request, now_ns)
        spec = request.spec
        assert spec.sender is not None
        nbytes = request.prompt_blocks * self.memory.block_bytes
        sender = self.owner.sender(spec.sender.rank)
        request.session = self.transceiver.open(
            spec.request_id, spec.attempt, sender, nbytes, now_ns, request
        )

    def admit(self, now_ns: int) -> None:
        """Give blocks to waiting requests in order, for the prompt and all tokens to come: a
        request that decodes is never evicted."""
        waiting = self.waiting
        while waiting and self._admitted < self._most:
            request = waiting[0]
            spec, session = request.spec, request.session
            if not self.take_blocks(request):
                return
            waiting.popleft()
            lease, pins = request.lease, request.pins
            assert lease is not None
            assert session is not None
            assert spec.sender is not None
            self._admitted += 1
            request.fire(_RECEIVE_BEGAN)
            request.reserved_ns = now_ns
            blocks, cached = lease.blocks[: request.prompt_blocks], 0
            if pins is not None:
                cached = len(pins.blocks)
                blocks = pins.blocks + blocks[: request.prompt_blocks - cached]
                self.recorder.event("reused", spec.request_id, blocks=cached)
            self.transceiver.reserve(session, blocks, spec.sender.blocks, now_ns, cached)

    def take_blocks(self, request: ServedRequest) -> bool:
        """Give it its blocks, those that it has cached among them; False if there are too few."""
        spec = request.spec
        count = self.limits.blocks_of(spec)
        if not self.pool.reuses:
            return self.leases.give(request, count, ())
        return self.leases.give_apart(request, count, self.reusable(spec))

    def reusable(self, spec: RequestSpec) -> tuple[int, ...]:
        """All full blocks of the prompt: decode never writes into one."""
        return spec.block_hashes if self.pool.reuses else ()

    def _prompt_blocks(self, request: ServedRequest) -> tuple[int, ...]:
        """The blocks that hold the request's prompt, in order: the cached ones, then those into
        which its KV came."""
        session, pins = request.session, request.pins
        assert session is not None
        return session.blocks if pins is None else (*pins.blocks, *session.blocks)

    def exposed(self, session: Session) -> None:
        """The sender may write into the session's blocks from now on."""
        super().exposed(session)
        request: ServedRequest = session.owner
        lease = request.lease
        assert lease is not None
        self.memory.expect_write(lease.number, session.blocks)

    def concealed(self, request: ServedRequest, session: Session) -> None:
        """It is proven that the sender does not write any more."""
        assert request.lease is not None
        self.memory.end_write(request.lease.number, session.blocks)

    def waited_out(self, request: ServedRequest, now_ns: int) -> None:
        """End it if its blocks are not advertised yet. Its session has a limit of its own, which
        counts from when this rank got the request, and is the later one."""
        session = request.session
        if session is not None and session.state.is_unexposed:
            self.transceiver.give_up(session, now_ns)

    def load(self) -> tuple[bool, int, int, int]:
        """As `Serving.load`: requests that decode."""
        running = self.schedule.sequences
        if not self.owner.answers:
            return running > 0, 0, 0, 0
        return running > 0, self.open_tokens, self.open_requests, running

    def room(self) -> tuple[int, int, int, tuple[tuple[int, int, int], ...]]:
        """As `Serving.room`, with places in the batch and slots for transfers."""
        slots, peers = self.transceiver.room()
        seats = self._most - self._admitted
        bound = len(self.waiting) + len(self.held.by_request)
        if not bound:
            return self.pool.available, seats, slots, peers
        return self.free_blocks(), seats - bound, slots - bound, peers

    def running(self) -> int:
        """How many requests decode."""
        return self.schedule.sequences

    def batch(self, now_ns: int) -> StepWork:
        """All requests that decode. The batch may be stepped until the first of them finishes."""
        schedule = self.schedule
        if not schedule.sequences:
            return DUMMY
        waited = schedule.begin(now_ns)
        batch = Batch(0, 0, schedule.sequences, schedule.context_tokens)
        if not self.owner.answers:
            return batch, schedule.most_steps(), 0, (), 0
        return batch, schedule.most_steps(), schedule.sequences, waited, 0

    def spent(self, request: ServedRequest, now_ns: int) -> tuple[int, ...]:
        """The times until it has blocks, a slot, its KV, a place in the batch, and its last token.
        The time in its sender's queue is taken from that for the KV, as a column of its own."""
        session = request.session
        if session is None:  # it waits for the end of its earlier attempt (`held`)
            return spans((request.assigned_ns,), now_ns)
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
        """The context instance's first token and the decoded ones; none before the KV is here."""
        return self.schedule.generated(request) if request.arrived_ns >= 0 else 0

    def computed(self, count: int) -> Sequence[ServedRequest]:
        """Each decoding request got `count` tokens; returns the finished requests."""
        if self.owner.answers:
            self.meter.tokens += count * self.schedule.sequences
        return self.schedule.stepped(count)

    def finish(self, request: ServedRequest, now_ns: int) -> None:
        """The request has its last token."""
        if self._verify_at_end:
            self._verify_again(request)
        self.complete(request, now_ns)

    def received(self, request: ServedRequest, session: Session, now_ns: int) -> str:
        """The request's KV has arrived: check it."""
        lease, spec = request.lease, request.spec
        assert lease is not None
        self.concealed(request, session)
        self.pool.set_use(lease, _ACTIVE)
        blocks = self._prompt_blocks(request)
        right = self.memory.verify(spec.request_id, blocks, request.keys, spec.prompt_tokens)
        return "" if right else "wrong KV arrived"

    def arrived(self, request: ServedRequest, now_ns: int) -> None:
        """Decode the request from the next step on."""
        request.fire(_RECEIVED)
        request.arrived_ns = now_ns
        if self.pool.reuses:
            self.leases.keep(request, request.spec.block_hashes)
        self.schedule.add(request)

    def _verify_again(self, request: ServedRequest) -> None:
        """Check whether the prompt's KV was overwritten while the request decoded. A difference is
        a violation; the client's answer does not change."""
        spec, blocks = request.spec, self._prompt_blocks(request)
        self.memory.verify_again(spec.request_id, blocks, request.keys, spec.prompt_tokens)

    def left(self, request: ServedRequest, before: RequestState) -> None:
        """Remove the request from the waiting list or from the batch."""
        self.closed(request)
        if before is _WAITING:
            self.waiting.remove(request)
            return
        self._admitted -= 1
        if before is _DECODING:
            self.schedule.remove(request)
