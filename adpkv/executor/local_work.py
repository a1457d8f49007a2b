"""What a rank does in an iteration by itself: all of the phases that meets nobody.

A rank does not decide alone about what it notices: it reports it at sync, and the group decides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from adpkv.core.ids import NEVER
from adpkv.core.plan import Plan
from adpkv.core.rank_status import RankStatus
from adpkv.core.report import RankReport
from adpkv.core.stop import StopReason
from adpkv.core.values import RequestSpec
from adpkv.executor.agreeing import Agreeing
from adpkv.executor.audit import check_proposal, rank_report
from adpkv.executor.broadcast import failed_ranks
from adpkv.executor.collectives import NO_WORK, CollectiveCounts
from adpkv.executor.conduct import asked_by_signal, unhealthy_too_long
from adpkv.executor.messages import PeerMessage, Release
from adpkv.executor.rank import Rank, status_of, to_look_at
from adpkv.subclassing import mypyc_attr

__all__ = ["LocalWork"]


@mypyc_attr(allow_interpreted_subclasses=True)
class LocalWork(Agreeing):
    """The base of `executor.phases.Phases`, which adds what is awaited."""

    # Slots, as those of its base.
    __slots__ = (
        "_abandon_ns", "_batch", "_began_ns", "_clock", "_computed", "_costs", "_decisions",
        "_failures", "_group", "_held", "_index", "_looked_at", "_meter", "_model", "_moved",
        "_next_batch", "_odd", "_own_messages", "_pending", "_poll", "_ran_ns", "_receive",
        "_reuses", "_run", "_sampler", "_seen_ns", "_serving", "_signals", "_status",
        "_transceiver", "_waiting", "_wake_ns",
    )  # fmt: skip

    def __init__(self, rank: Rank, counts: Callable[[], CollectiveCounts]) -> None:
        super().__init__(rank, counts)
        # Used in every iteration of every rank, so looked up once.
        self._serving = serving = rank.serving
        self._decisions, self._failures = serving.decisions, serving.failures
        self._next_batch, self._computed = serving.batch, serving.computed
        self._held, self._meter = serving.held, serving.meter
        self._waiting, self._pending = serving.waiting, serving.pending_resource_release
        self._transceiver = rank.transceiver
        self._receive = rank.ports.mailbox.receive
        self._clock, self._model = rank.ports.clock, rank.ports.model
        self._signals, self._poll = rank.ports.signals, rank.ports.transport.poll
        self._group = rank.instance.index
        self._index = rank.rank - rank.instance.first
        self._own_messages: Sequence[PeerMessage] = ()
        self._status = RankStatus()
        self._moved = True
        """Whether something may have changed on this rank since `_status` was made. Requests,
        sessions and blocks only change before a call of `_resolve`, or in a step that finished
        requests: only these two places set it, so no state machine needs a flag."""
        self._odd = False
        """Whether `_status` says something that holds for one sync only."""
        self._looked_at: tuple[RequestSpec, ...] = ()
        """Of which waiting requests `_status` says what is cached here, if any rank says that."""
        self._reuses = rank.limits.reuses
        self._wake_ns = 0
        self._seen_ns = -1
        self._abandon_ns = NEVER
        self._sampler = rank.ports.sampler
        self._run: Callable[[], None] = self._compute
        """Made once: a method is a new object whenever it is asked for."""
        self._batch = NO_WORK
        """This rank's part of the step that it awaits."""
        self._ran_ns = -1
        """How long that took, where it was run for real."""
        self._began_ns = 0
        """When it began."""
        self._costs: tuple[int, int] | None = None
        """What the step that it awaits costs, as a line in ticks; None while it waits."""

    # -- intake ---------------------------------------------------------------------------------

    def take_input(self) -> None:
        """An iteration begins: the leader reads what it broadcasts in it."""
        leader = self.rank.leader
        assert leader is not None
        self.group_input, own = leader.take_messages()
        self._own_messages = [*self._own_messages, *own] if self._own_messages else own

    def lead(self, iteration: int, plan: Plan) -> None:
        """In virtual time: lead the group's iteration without taking part, as nothing is new."""
        self.rank.iteration, self.rank.plan = iteration, plan

    def takes_sample(self) -> bool:
        """Whether this rank is to write down how it is as the next iteration begins."""
        clock = self._clock
        return clock() >= self._sampler.due_ns

    # -- observe --------------------------------------------------------------------------------

    def observe(self) -> None:
        """Read peers' messages, poll the transport and check what is due. Never waits."""
        # A field that can be called is read first: asked for as a method, it would be looked for
        # among those of the class.
        rank, transceiver, clock = self.rank, self._transceiver, self._clock
        if rank.leader is None:
            receive = self._receive
            messages: Sequence[Any] = receive()
        else:
            messages, self._own_messages = self._own_messages, ()
        now_ns = clock()
        if now_ns >= self._sampler.due_ns:
            # Before anything changes: so a line says how it was until now.
            self._sampler.take(rank, now_ns)
        if self.group_input and (failed := failed_ranks(self.group_input)):
            transceiver.note_failures(failed)
        for message in messages:
            if type(message) is Release:
                rank.succession.release = message  # kept: its leader has one too, and broadcasts it
            else:
                rank.transfers.on_peer_message(message, now_ns)
        # After the messages: with a peer's message the transport may be able to prove an end.
        ended = self.poll()
        code = self._signals.code
        if code:
            asked_by_signal(rank, code, self.propose)
        if (
            ended
            or messages
            or self._moved
            or now_ns >= self._wake_ns
            or code
            or self._pending
            or transceiver.pending_polls
            or transceiver.monitor.reasons
        ):
            self.attend(now_ns)

    def poll(self) -> bool:
        """Poll the transport without waiting; returns whether transfers have ended."""
        poll = self._poll
        ends = poll()
        if not ends:
            return False
        self.rank.transfers.ended(ends)
        return True

    def attend(self, now_ns: int) -> None:
        """Process what came in and what is due."""
        transceiver, self._seen_ns = self._transceiver, now_ns
        # Ends first: a transfer that is proven over has not missed its deadline.
        if transceiver.pending_polls:
            transceiver.check_transfer_status(now_ns)
        if now_ns >= self._wake_ns:
            transceiver.expire(now_ns)
        if transceiver.book.in_flight or transceiver.monitor.reasons:
            self._check_health(now_ns)
        monitor = transceiver.monitor
        if self.rank.illness or (monitor.reasons and now_ns >= monitor.grace_over_ns()):
            unhealthy_too_long(self.rank, self.propose)
        self._resolve(now_ns)

    def _check_health(self, now_ns: int) -> None:
        """Check this rank's health, and record a change."""
        rank = self.rank
        if rank.transceiver.health.check(now_ns, rank.ports.transport.last_moved_ns()):
            reasons = rank.transceiver.monitor.reasons
            rank.ports.recorder.event("health", -1, healthy=not reasons, reasons=reasons)

    def propose(self, reason: StopReason) -> None:
        """Propose at the next sync that the group stops. The first proposal of a rank is kept."""
        if self.rank.proposal is None:
            check_proposal(self.rank, reason)
            self.rank.proposal = reason

    def _resolve(self, now_ns: int) -> None:
        """Act on all changes of sessions, requests and blocks, then begin what can begin. Every
        method that changes any of them must end with this call."""
        self._moved = True
        serving, transceiver, failures = self._serving, self._transceiver, self._failures
        book = transceiver.book
        if book.journal:
            self._decisions.resolve(now_ns)
        if self._pending:
            serving.retry_pending(now_ns)
        if self._held.by_request:
            self._held.let_in(now_ns)
        if self._waiting:
            serving.admit(now_ns)
        transceiver.start(now_ns)
        if book.journal:
            self._decisions.resolve(now_ns)
        if book.orders:
            self.rank.transfers.deliver()
        if transceiver.monitor.reasons:
            self._check_health(now_ns)  # a transfer that began just now is a movement
        seen_ns, abandon_ns = self._seen_ns, self._abandon_ns
        wake_ns = transceiver.wake_ns(seen_ns)
        if failures.pause_ns:
            wake_ns = min(wake_ns, failures.due_ns(seen_ns))
        self._wake_ns = abandon_ns if seen_ns <= abandon_ns < wake_ns else wake_ns

    # -- sync ----------------------------------------------------------------------------------

    def fresh_status(self) -> RankStatus:
        """What this rank brings to the sync."""
        leader = self.rank.leader
        if self._moved or self._is_stale() or (leader is not None and leader.is_expiry_due()):
            self._status = self.status()
        return self._status

    def status(self) -> RankStatus:
        """This rank's status as of now."""
        self._moved = False
        status = status_of(self.rank, self._abandon_ns, self.group_input)
        self._odd = bool(status.expired or (status.cached and self.rank.limits.asks_cached))
        if self._reuses:
            self._looked_at = to_look_at(self.rank, self.rank.plan)
        return status

    def has_to_say(self, plan: Plan) -> bool:
        """Whether others wait by this plan of whom it knows something else, or a sample is due."""
        due, wanted = self._clock() >= self._sampler.due_ns, to_look_at(self.rank, plan)
        if due or wanted == self._looked_at:
            return due
        enough = -1 if self.rank.limits.asks_cached else self._status.blocks
        return self._serving.cached(wanted, enough) != self._status.cached

    def _is_stale(self) -> bool:
        """Whether this rank's status may differ from the last one it sent: something has changed
        here, or in what the status is asked about."""
        rank = self.rank
        if self._moved or self._odd or self._status.stop is not rank.proposal:
            return True
        if self.group_input and rank.limits.asks_cached:
            return True
        if not self._reuses:
            return False
        if not rank.plan.waiting.count:
            return bool(self._looked_at)
        return to_look_at(rank, rank.plan) != self._looked_at

    # -- apply and flush -----------------------------------------------------------------------

    def apply(self, plan: Plan) -> None:
        """Do what was agreed: cancels first, as they win over every other outcome; then the agreed
        outcomes; then new requests. Begin what can begin."""
        rank, serving = self.rank, self._serving
        if plan.refusals and rank.leader is not None:
            for response in rank.leader.refusals(plan, rank.rank):
                rank.responses.stage(response)
                rank.ports.recorder.event("refused", response.request_id, outcome=response.outcome)
        if rank.illness is not None and (plan.ending or plan.stop is not None):
            unhealthy_too_long(rank, self.propose)
        new, reason = plan.assignments.get(self._index), plan.stop
        if reason is not None and self._transceiver.drain_deadline_ns != NEVER:
            reason = None  # has begun
        lost = plan.rank_failure is not None
        if not (new or plan.cancels or plan.expired or plan.agreed or reason or lost):
            return
        now_ns = self._clock()
        if plan.rank_failure is not None:
            rank.transceiver.handle_peer_failure(plan.rank_failure.failed, now_ns)
        for request_id in plan.cancels:
            serving.cancel(request_id, now_ns)
        if plan.expired:
            serving.expire(plan.expired, now_ns)
        if plan.agreed:
            serving.decisions.carry_out(plan.agreed, plan.cancels, now_ns)
        for spec in new or ():
            serving.assign(spec, now_ns)
        if reason is not None:
            self._stop(reason, now_ns)
        self._resolve(now_ns)

    def _stop(self, reason: StopReason, now_ns: int) -> None:
        """The group agreed to stop: answer every open request, and begin to drain."""
        rank = self.rank
        deadline_ns = now_ns + rank.timing.drain_timeout_ns
        self._abandon_ns = now_ns + rank.timing.abandon_ns
        # Sessions first: their story then shows what ended them; their requests end with them.
        rank.transceiver.drain(deadline_ns, now_ns)
        rank.serving.stop(now_ns, reason.detail)
        rank.ports.recorder.event("stopping", -1, code=reason.code, detail=reason.detail)

    # -- step or wait --------------------------------------------------------------------------

    def _compute(self) -> None:
        """Run this rank's part of one step for real, and note how long that took."""
        began_ns = self._clock()
        self._model.run(self._batch)
        self._ran_ns = max(self._clock() - began_ns, 0)

    def _waits(self) -> tuple[int, bool]:
        """(how long this rank lets its group wait at most, 0 if not at all; whether it is quiet)"""
        rank = self.rank
        busy = self._transceiver.book.in_flight or self._pending
        timing = rank.timing
        limit_ns = timing.busy_wait_ns if busy or rank.responses.kept else timing.idle_wait_ns
        last, quiet = self._status, self.is_quiet()
        if rank.plan.waiting.count and self._is_stale():
            self._status = self.status()
        if (
            rank.transceiver.pending_polls
            or (not quiet and rank.serving.has_work())
            or rank.serving.owner.votes != last.votes
            or (rank.plan.waiting.count and self._status != last)
            or rank.plan.rank_failure is not None
            or rank.plan.deferred
            or (rank.leader is not None and rank.leader.has_more())
        ):
            # Do not wait: ends are left over by the poll limit; or a request got its blocks in
            # apply, so a step can run; or one that waits has room now, or may have it in the next
            # plan; or there is a new vote, or messages for the coordinator or left over from it.
            return 0, quiet
        return limit_ns, quiet

    def until_ns(self) -> int:
        """When something is due on this rank if no input comes until then."""
        leader, wake_ns = self.rank.leader, self._wake_ns
        if leader is None:
            return wake_ns
        expiry_ns = leader.next_expiry_ns()
        return expiry_ns if expiry_ns < wake_ns else wake_ns

    def is_quiet(self) -> bool:
        """Whether the next iteration would decide the same as this one if no input comes until
        then. Then a world may jump over it, with `_status` as this rank's status in it."""
        rank = self.rank
        plan, leader = rank.plan, rank.leader
        if plan.rank_failure is not None or plan.deferred or self._transceiver.pending_polls:
            return False
        if leader is not None and leader.has_more():
            return False
        if not (self._moved or self._is_stale()):
            return True
        last, now = self._status, self.status()
        self._status = now
        if plan.ending or plan.stop is not None:
            return now == last  # whether the group may leave depends on the whole status
        if plan.waiting.count:
            # A changed load may let a waiting request in. So may an unchanged one: a request just
            # assigned to this rank may be over already, if its peer has failed.
            return now == last and self._index not in plan.assignments
        return not now.differs(last)

    def report(self) -> RankReport:
        """This rank's final report."""
        return rank_report(self.rank, self._counts)
