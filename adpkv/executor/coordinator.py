"""The coordinator: admits requests, sends them to instances, and records their outcomes.

It is a program of its own beside rank 0 (a coroutine in the virtual world, a thread under MPI),
because a hand-over from a context to a generation instance must not wait for rank 0's forward step.
It also ends the job: when one instance stops, it tells all others to stop (contract 6.2).
"""

from __future__ import annotations

from collections.abc import Callable

from adpkv.core.admission import ADMISSION, Action, AdmissionEvent
from adpkv.core.columns import CONTEXT_PLACE, GENERATION_PLACE
from adpkv.core.ids import NEVER
from adpkv.core.record import RequestRecord
from adpkv.core.stop import StopReason
from adpkv.core.topology import Instance, Kind, Topology
from adpkv.core.values import Outcome, Response, Violation
from adpkv.executor.clients import ASK_ALL, Clients, Gate, Manners
from adpkv.executor.collectives import Receive
from adpkv.executor.instances import Instances
from adpkv.executor.messages import (
    Answers,
    Cancel,
    Closing,
    Condition,
    Message,
    Missing,
    Pulse,
    RankFailed,
    Stop,
    Stopped,
    TrustReport,
)
from adpkv.executor.open_request import OpenRequest, as_taken, is_lost
from adpkv.executor.outages import FIXED, Elasticity, Outages
from adpkv.executor.ports import Clock, Mailbox, Recorder
from adpkv.exit_codes import ExitCode, worst
from adpkv.workload.port import Workload

__all__ = ["Coordinator"]

# Looked up once: to look a member up in its enum takes longer than what is done with it.
_TO_CONTEXT, _TO_GENERATION = Action.TO_CONTEXT, Action.TO_GENERATION
_CONTEXT, _GENERATION, _CANCELLED = Kind.CONTEXT, Kind.GENERATION, Outcome.CANCELLED
_ADMIT, _REFUSE = AdmissionEvent.ADMIT, AdmissionEvent.REFUSE
_TERMINAL, _ON_PREFILLED = AdmissionEvent.TERMINAL, AdmissionEvent.PREFILLED
_END_AS_SAID, _PREFILLED = Action.END_AS_SAID, Outcome.PREFILLED


class Coordinator:
    """The coordinator's program is `run`. Meanwhile `submitted` of `total` requests have arrived,
    and `done` have their answer."""

    def __init__(
        self,
        topology: Topology,
        workload: Workload,
        *,
        clock: Clock,
        mailbox: Mailbox,
        recorder: Recorder,
        on_record: Callable[[RequestRecord], None],
        on_pulse: Callable[[int, Pulse], None] | None = None,
        stop_timeout_ns: int,
        shrinks: bool = False,
        recompute: bool = False,
        elasticity: Elasticity = FIXED,
        manners: Manners = ASK_ALL,
    ) -> None:
        self._topology = topology
        self._clock = clock
        self._recorder = recorder
        self._on_record = on_record
        self._on_pulse = on_pulse
        self._stop_timeout_ns = stop_timeout_ns
        self._shrinks, self._recompute = shrinks, recompute
        self._instances = Instances(topology, mailbox, recorder, elasticity.spares)
        self.clients = Clients(workload, manners)
        self._gate = Gate(manners, self._instances.fleet)
        self._drain_timeout_ns = elasticity.drain_timeout_ns
        self.outages = Outages(topology, self._instances, recorder, clock, elasticity)
        self._open: dict[int, OpenRequest] = {}
        self._stop: StopReason | None = None
        self._closing: StopReason | None = None
        """Why nothing is admitted any more, while what is open is finished."""
        self._finish_ns = NEVER
        self._give_up_ns = NEVER
        self.done = 0

    @property
    def total(self) -> int:
        """How many requests there will be in all, as far as that is known."""
        return self.clients.total

    @property
    def submitted(self) -> int:
        """How many requests have arrived."""
        return self.clients.submitted

    @property
    def ending(self) -> str:
        """Why no more requests are admitted, as a text; empty while they are."""
        reason = self._stop or self._closing
        return "" if reason is None else reason.detail or "every request is answered"

    @property
    def failed(self) -> frozenset[int]:
        """The world ranks whose failure the coordinator has been told."""
        return frozenset(self._instances.failed)

    async def run(self) -> None:
        """Serve the workload, then wait until every instance has stopped."""
        clients, outages = self.clients, self.outages
        clients.begin()
        self._end_when_done(self._clock())  # of a workload without requests nothing ever comes
        while self._stop is None or self._open or not self._instances.are_drained:
            for message in await Receive(self._wake_ns()):
                self._take(message)
            now_ns = self._clock()
            if now_ns >= clients.next_ns:
                self._admit_due(now_ns)
                self._cancel_due(now_ns)
            if now_ns >= outages.quiet_until_ns and self._stop is None:
                self._mend(now_ns)
            if self._stop is None and (self._closing is not None or not self._open):
                self._end_when_done(now_ns)
            if self._instances.failed and not self._shrinks and self._instances.are_drained:
                self._end_all_lost()
            if now_ns >= self._give_up_ns:
                break
        self._release()

    def close(self) -> None:
        """Every rank has left: end the requests that still have no answer, each as a violation."""
        self._end_unanswered()

    def _wake_ns(self) -> int:
        if self._stop is not None:
            return self._give_up_ns
        next_ns = self.outages.quiet_until_ns or self.outages.next_ns()
        if self._finish_ns < next_ns:
            next_ns = self._finish_ns
        client_ns = self.clients.next_ns
        return client_ns if client_ns < next_ns else next_ns

    # -- clients -------------------------------------------------------------------------------

    def _admit_due(self, now_ns: int) -> None:
        clients = self.clients
        while clients.arrival_ns <= now_ns:
            request = clients.take()
            self._open[request.request_id] = request
            arrival = request.arrival
            self._recorder.event(
                "arrived",
                request.request_id,
                prompt_tokens=arrival.prompt_tokens,
                output_tokens=arrival.output_tokens,
            )
            request.ledger.waited(now_ns)
            request.refusal = self._gate.objection(request)
            self._fire(request, _REFUSE if request.refusal else _ADMIT)

    def _cancel_due(self, now_ns: int) -> None:
        for request_id, gives_up in self.clients.wishes(now_ns):
            request = self._open.get(request_id)
            if request is not None and request.cancelled_ns < 0:
                request.cancelled_ns, request.gave_up = now_ns, gives_up
                kind = "client_deadline" if gives_up else "client_cancel"
                self._recorder.event(kind, request_id)
                self._fire(request, AdmissionEvent.CANCEL)

    # -- instances -----------------------------------------------------------------------------

    def _take(self, message: Message) -> None:
        if isinstance(message, Answers):
            if message.pulse is not None and self._on_pulse is not None:
                self._on_pulse(message.instance, message.pulse)
            for response in message.responses:
                self._answered(response)
        elif isinstance(message, RankFailed):
            self._handle_rank_failure(message)
        elif isinstance(message, Missing):
            for request_id, attempt in message.requests:
                request = self._open.get(request_id)
                if request is not None and request.holder is not None:
                    here = request.holder.index == message.instance
                    if here and request.attempt == attempt:
                        self._lose(request)
        elif isinstance(message, TrustReport):
            self._instances.note_trust(message)
        elif isinstance(message, Condition):
            if self._stop is None:
                self.outages.note_condition(message)
        elif isinstance(message, Closing):
            self._close_down(message.reason)
        elif isinstance(message, Stopped):
            if message.drained:
                self._instances.drained.add(message.instance)
            self._spread(message.reason)

    def _answered(self, response: Response) -> None:
        request = self._open.get(response.request_id)
        outcome, event = response.outcome, _TERMINAL
        if request is None or response.attempt != request.attempt:
            # After the request's end only PREFILLED may still come, if a stop was on its way.
            if outcome is not _PREFILLED or self._stop is None:
                self._violate("two_terminal_responses", response)
            return
        first = CONTEXT_PLACE if request.generation is None else GENERATION_PLACE
        request.ledger.answered(first, response.spent, self._clock())
        lost = False
        if request.taken_from:
            response, lost = as_taken(request, response)
        if response.outcome is _PREFILLED:
            request.first, event = response, _ON_PREFILLED
        if lost or (self._recompute and is_lost(request, response, self._instances.failed)):
            event = self._after_failure(event)
        self._fire(request, event, response)

    def _fire(
        self, request: OpenRequest, event: AdmissionEvent, response: Response | None = None
    ) -> None:
        line = ADMISSION[request.state][event]
        if line is None:
            if response is not None:
                self._violate("impossible_response", response)
            return
        request.state, action = line.state, line.action
        if action is _TO_CONTEXT:
            self._instances.send(_CONTEXT, request, self._clock())
        elif action is _TO_GENERATION:
            self._instances.send(_GENERATION, request, self._clock())
        elif action is _END_AS_SAID and response is not None:
            self._end(request, response.outcome, response.detail, response)
        else:
            self._act(action, request, response)

    def _act(self, action: Action, request: OpenRequest, response: Response | None) -> None:
        """What not every request meets."""
        if action is Action.CANCEL_CONTEXT and request.context is not None:
            self._instances.tell(request.context, Cancel(request.request_id))
        elif action is Action.CANCEL_GENERATION and request.generation is not None:
            self._instances.tell(request.generation, Cancel(request.request_id))
        elif action is Action.END_CANCELLED and not (self._stop and self._stop.code):
            self._end(request, Outcome.CANCELLED, "cancelled between the instances", response)
        elif action in (Action.END_CANCELLED, Action.END_STOPPED):
            why = self._stop.detail if self._stop is not None else ""
            self._end(request, Outcome.FAILED, why or "the job is stopping", response)
        elif action is Action.END_REFUSED:
            self._end(request, Outcome.REFUSED, request.refusal, None)
        elif action is Action.END_LOST:
            self._end_lost(request, response)
        elif action is Action.AGAIN:
            self._begin_again(request)

    def _end(
        self, request: OpenRequest, outcome: Outcome, detail: str, last: Response | None
    ) -> None:
        """The request gets its one terminal answer: record it."""
        now_ns = self._clock()
        if outcome is _CANCELLED and request.gave_up:
            outcome, detail = Outcome.TIMED_OUT, "its client's deadline has passed"
        self._gate.ended(request)
        del self._open[request.request_id]
        self.done += 1
        self._instances.unload(request)
        self._on_record(request.record(outcome, detail, last, now_ns))
        self._recorder.event("ended", request.request_id, outcome=outcome, detail=detail)
        self.clients.ended(now_ns, request, outcome)

    def _violate(self, kind: str, response: Response) -> None:
        detail = f"request {response.request_id}: {response.outcome} from rank {response.rank}"
        whom = (response.request_id,)
        self._recorder.violation(Violation(kind, response.rank, self._clock(), detail, whom))

    # -- ranks that fail ------------------------------------------------------------------------

    def _handle_rank_failure(self, rank_failure: RankFailed) -> None:
        """A rank has failed. The others of its instance go on or stop; leader -1: none is left."""
        instance = self._topology.instances[rank_failure.instance]
        succeeded = self._instances.note_failure(rank_failure)
        if rank_failure.leader < 0:
            self._handle_instance_failure(instance, rank_failure.detail)
        elif succeeded:
            self._tell_again(instance)
        if self._shrinks:
            had = [request for request in self._open.values() if request.holder is instance]
            self._instances.shrink(instance, had, self._clock())

    def _tell_again(self, instance: Instance) -> None:
        """Repeat cancels and stop to a new leader: the failed one may not have passed them on."""
        for request in self._open.values():
            if request.holder is instance and request.cancelled_ns >= 0:
                self._instances.tell(instance, Cancel(request.request_id))
        if self._stop is not None:
            self._instances.tell(instance, Stop(self._stop))

    def _handle_instance_failure(self, instance: Instance, detail: str) -> None:
        """All ranks of an instance have failed: no answer will come for the requests it had."""
        self._instances.drained.add(instance.index)
        self.outages.lost(instance)
        if not self._instances.fleet.has_any(instance.kind) or not self._shrinks:
            self._spread(StopReason(ExitCode.RANK_LOST, detail))
        for request in list(self._open.values()):
            if request.holder is instance:
                self._lose(request)

    def _lose(self, request: OpenRequest) -> None:
        """The request was lost with a failed rank, or its answer with a failed leader."""
        self._fire(request, self._after_failure(AdmissionEvent.LOST))

    def _after_failure(self, otherwise: AdmissionEvent) -> AdmissionEvent:
        again = self._recompute and self._stop is None
        return AdmissionEvent.RECOMPUTE if again else otherwise

    def _begin_again(self, request: OpenRequest) -> None:
        self._let_go(request)
        self._instances.unload(request)
        request.begin_anew(self._clock())
        self._recorder.event("recomputed", request.request_id, attempt=request.attempt)
        self._instances.send(_CONTEXT, request, self._clock())

    def _end_lost(self, request: OpenRequest, last: Response | None) -> None:
        self._let_go(request)
        if last is not None:
            self._end(request, last.outcome, last.detail, last)
        elif request.cancelled_ns >= 0:
            self._end(request, Outcome.CANCELLED, "cancelled by its client", None)
        else:
            self._end(request, Outcome.FAILED, self._instances.failure_of(request.holder), None)

    def _let_go(self, request: OpenRequest) -> None:
        """Cancel it at its context instance, which may keep KV that nobody will fetch."""
        if request.context is not None:
            self._instances.tell(request.context, Cancel(request.request_id))

    # -- instances that are drained --------------------------------------------------------------

    def _mend(self, now_ns: int) -> None:
        """Take out who is to blame, and what instances that are out did not finish in time."""
        reason = self.outages.judge(now_ns)
        if reason is not None:
            self._spread(reason)
        else:
            self.outages.evict(now_ns, self._open.values())

    def _close_down(self, reason: StopReason) -> None:
        """Admit nothing any more. The job stops once nothing is open, or at the drain timeout."""
        if self._stop is None and self._closing is None:
            self._closing = reason
            self.clients.close()
            self._finish_ns = self._clock() + self._drain_timeout_ns
            self._recorder.event("closing", -1, code=reason.code, detail=reason.detail)

    def _end_when_done(self, now_ns: int) -> None:
        if not self._open and self.done == self.total:
            self._spread(self._closing or StopReason(ExitCode.COMPLETED))
        elif self._closing is not None and (not self._open or now_ns >= self._finish_ns):
            self._spread(self._closing)

    # -- the end -------------------------------------------------------------------------------

    def _spread(self, reason: StopReason) -> None:
        """An instance stops, or all requests are answered: tell all instances to stop."""
        if self._stop is not None:
            self._stop = self._stop.with_code(worst((reason.code, self._stop.code)))
            return
        self._stop = reason
        self.clients.close()
        self._give_up_ns = self._clock() + self._stop_timeout_ns
        for instance in self._topology.instances:
            # Also to one that has stopped by itself: what was admitted before is on its way to it.
            self._instances.tell(instance, Stop(reason))
        for request in list(self._open.values()):
            self._fire(request, AdmissionEvent.STOP)

    def _end_all_lost(self) -> None:
        """All instances are drained, so all living ranks have answered for what they had and for
        what was on its way to them: the open ones were lost with failed ranks (contract 6.5)."""
        for request in list(self._open.values()):
            self._end(request, Outcome.FAILED, self._instances.failure_of(request.holder), None)

    def _release(self) -> None:
        """All instances are drained: tell the ranks to leave, with the code that won."""
        self._end_unanswered()
        assert self._stop is not None
        self._instances.release(self._stop)

    def _end_unanswered(self) -> None:
        """End the requests without an answer. Each is a violation (contract 6.3)."""
        for request in list(self._open.values()):
            detail = f"request {request.request_id}: no terminal response, last {request.state}"
            self._recorder.violation(
                Violation("no_terminal_response", -1, self._clock(), detail, (request.request_id,))
            )
            self._end(request, Outcome.FAILED, "no instance answered", None)
        if self._recorder.violations and self._stop is not None:
            self._stop = self._stop.with_code(worst((ExitCode.VIOLATION, self._stop.code)))
