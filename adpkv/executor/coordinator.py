"""The coordinator: admits the workload, pairs context with generation instances, records outcomes.

A program of its own beside rank 0 (a coroutine in the virtual world, a thread under MPI), because a
hand-over between instances must not wait for rank 0's forward step. It also spreads the end: an
instance that stops ends the job (contract 6.2).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

from adpkv.core.admission import ADMISSION, Action, AdmissionEvent, AdmissionState
from adpkv.core.ids import NEVER
from adpkv.core.record import RequestRecord
from adpkv.core.report import worst
from adpkv.core.topology import Instance, Kind, Topology
from adpkv.core.values import Outcome, RequestSpec, Response, Violation
from adpkv.executor.meetings import Receive
from adpkv.executor.messages import (
    Admit,
    Answers,
    Cancel,
    LeaderMail,
    Lost,
    Mail,
    Pulse,
    Release,
    Stop,
    Stopped,
)
from adpkv.executor.ports import Clock, Mailbox, Recorder
from adpkv.workload.port import Arrival, Workload

__all__ = ["Coordinator"]


class _Open:
    """A request that has no terminal answer yet."""

    __slots__ = (
        "arrival",
        "cancelled_ns",
        "context",
        "first",
        "first_token_ns",
        "generation",
        "request_id",
        "state",
    )

    def __init__(self, request_id: int, arrival: Arrival) -> None:
        self.request_id = request_id
        self.arrival = arrival
        self.state = AdmissionState.ARRIVED
        self.context: Instance | None = None
        self.generation: Instance | None = None
        self.first: Response | None = None
        """The context instance's answer."""
        self.first_token_ns = -1
        self.cancelled_ns = -1


class Coordinator:
    """Run `run()` to the end; `done` of `total` requests have their answer meanwhile."""

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
    ) -> None:
        self._topology = topology
        self._workload = workload
        self._clock = clock
        self._mailbox = mailbox
        self._recorder = recorder
        self._on_record = on_record
        self._on_pulse = on_pulse
        self._stop_timeout_ns = stop_timeout_ns
        self._instances = {kind: topology.of_kind(kind) for kind in Kind}
        self._load = {instance.index: 0 for instance in topology.instances}
        self._open: dict[int, _Open] = {}
        self._cancels: list[tuple[int, int]] = []
        self._leaders: dict[int, int] = {
            instance.index: instance.leader for instance in topology.instances
        }
        self._stopped: set[int] = set()
        self._lost = ""
        """Which rank is dead, in words."""
        self._code = -1
        self._detail = ""
        self._give_up_ns = NEVER
        self.submitted = 0
        self.done = 0
        self.total = workload.total

    @property
    def ending(self) -> str:
        """Why nothing is admitted any more, in words; empty while it is."""
        if self._code < 0:
            return ""
        return self._detail or "every request is answered"

    async def run(self) -> None:
        """Serve the workload, then see every instance out."""
        while not self._is_over():
            mail = await Receive(self._wake_ns())
            for message in mail:
                self._take(message)
            now_ns = self._clock()
            self._admit_due(now_ns)
            self._cancel_due(now_ns)
            if self._code < 0 and self.done == self.total:
                self._spread(0, "")
            if self._lost and len(self._stopped) == len(self._load):
                self._end_lost()
            if now_ns >= self._give_up_ns:
                break
        self._release()

    def _is_over(self) -> bool:
        return self._code >= 0 and not self._open and len(self._stopped) == len(self._load)

    def _wake_ns(self) -> int:
        if self._code >= 0:
            return self._give_up_ns
        cancel_ns = self._cancels[0][0] if self._cancels else NEVER
        return min(self._workload.due_ns(), cancel_ns)

    # -- clients -------------------------------------------------------------------------------

    def _admit_due(self, now_ns: int) -> None:
        while self._code < 0 and self._workload.due_ns() <= now_ns:
            arrival = self._workload.take()
            request = _Open(self.submitted, arrival)
            self.submitted += 1
            self._open[request.request_id] = request
            if arrival.cancel_ns >= 0:
                due_ns = arrival.at_ns + arrival.cancel_ns
                heapq.heappush(self._cancels, (due_ns, request.request_id))
            self._recorder.event(
                "arrived",
                request.request_id,
                prompt_tokens=arrival.prompt_tokens,
                output_tokens=arrival.output_tokens,
            )
            self._fire(request, AdmissionEvent.ADMIT)

    def _cancel_due(self, now_ns: int) -> None:
        while self._cancels and self._cancels[0][0] <= now_ns:
            _, request_id = heapq.heappop(self._cancels)
            request = self._open.get(request_id)
            if request is not None:
                request.cancelled_ns = now_ns
                self._recorder.event("client_cancel", request_id)
                self._fire(request, AdmissionEvent.CANCEL)

    # -- instances -----------------------------------------------------------------------------

    def _take(self, message: Mail) -> None:
        if isinstance(message, Answers):
            if message.pulse is not None and self._on_pulse is not None:
                self._on_pulse(message.instance, message.pulse)
            for response in message.responses:
                self._answered(response)
        elif isinstance(message, Lost):
            self._leaders[message.instance] = message.leader
            self._lost = message.detail
            self._recorder.event("rank_lost", -1, lost=message.rank, leader=message.leader)
        elif isinstance(message, Stopped):
            self._stopped.add(message.instance)
            self._spread(message.code, message.detail)

    def _answered(self, response: Response) -> None:
        request = self._open.get(response.request_id)
        prefilled = response.outcome is Outcome.PREFILLED
        event = AdmissionEvent.PREFILLED if prefilled else AdmissionEvent.TERMINAL
        if request is None:
            # After the end only a context instance's answer may come, that a stop has crossed.
            if not prefilled or self._code < 0:
                self._violate("two_terminal_responses", response)
            return
        if prefilled:
            request.first = response
            request.first_token_ns = self._clock()
        self._fire(request, event, response)

    def _fire(
        self, request: _Open, event: AdmissionEvent, response: Response | None = None
    ) -> None:
        line = ADMISSION[request.state][event]
        if line is None:
            if response is not None:
                self._violate("impossible_response", response)
            return
        request.state = line.state
        self._act(line.action, request, response)

    def _act(self, action: Action, request: _Open, response: Response | None) -> None:
        if action is Action.TO_CONTEXT:
            request.context = self._send(Kind.CONTEXT, request)
        elif action is Action.TO_GENERATION:
            request.generation = self._send(Kind.GENERATION, request)
        elif action is Action.CANCEL_CONTEXT and request.context is not None:
            self._tell(request.context, Cancel(request.request_id))
        elif action is Action.CANCEL_GENERATION and request.generation is not None:
            self._tell(request.generation, Cancel(request.request_id))
        elif action is Action.END_AS_SAID and response is not None:
            self._end(request, response.outcome, response.detail, response)
        elif action is Action.END_CANCELLED and self._code > 0:
            self._end(request, Outcome.FAILED, self._detail or "the job is stopping", response)
        elif action is Action.END_CANCELLED:
            self._end(request, Outcome.CANCELLED, "cancelled between the instances", response)
        elif action is Action.END_STOPPED:
            self._end(request, Outcome.FAILED, self._detail or "the job is stopping", response)

    def _send(self, kind: Kind, request: _Open) -> Instance:
        """Give the request to the instance of this kind with the least open tokens."""
        arrival = request.arrival
        instance = min(self._instances[kind], key=lambda i: (self._load[i.index], i.index))
        if kind is Kind.GENERATION and request.context is not None:
            self._load[request.context.index] -= _weight(Kind.CONTEXT, arrival)
        self._load[instance.index] += _weight(kind, arrival)
        spec = RequestSpec(
            request.request_id,
            0,
            arrival.prompt_tokens,
            arrival.output_tokens,
            arrival.block_hashes,
            arrival.wanted,
            request.first.sender if request.first is not None else None,
        )
        self._tell(instance, Admit(spec))
        self._recorder.event("routed", request.request_id, instance=instance.index)
        return instance

    def _tell(self, instance: Instance, message: LeaderMail) -> None:
        self._mailbox.send(self._leaders[instance.index], message)

    def _end(self, request: _Open, outcome: Outcome, detail: str, last: Response | None) -> None:
        """The request has its one terminal answer."""
        arrival, first = request.arrival, request.first
        now_ns = self._clock()
        del self._open[request.request_id]
        self.done += 1
        if request.generation is not None:
            self._load[request.generation.index] -= _weight(Kind.GENERATION, arrival)
        elif request.context is not None:
            self._load[request.context.index] -= _weight(Kind.CONTEXT, arrival)
        decoded = last if request.generation is not None else None
        prefilled = first if first is not None else last
        first_ns = request.first_token_ns
        if first_ns < 0 and outcome is Outcome.COMPLETED:
            first_ns = now_ns  # one token only: the context instance completed it
        self._on_record(
            RequestRecord(
                request_id=request.request_id,
                arrival_ns=arrival.at_ns,
                prompt_tokens=arrival.prompt_tokens,
                output_tokens=arrival.output_tokens,
                outcome=outcome,
                detail=detail,
                context_instance=request.context.index if request.context else -1,
                context_rank=prefilled.rank if prefilled else -1,
                generation_instance=request.generation.index if request.generation else -1,
                generation_rank=decoded.rank if decoded else -1,
                first_token_ns=first_ns,
                ended_ns=now_ns,
                queue_ns=(first.queue_ns if first else 0)
                + (last.queue_ns if last and last is not first else 0),
                transfer_ns=decoded.transfer_ns if decoded and decoded.transfer_ns else -1,
                decode_ns=decoded.decode_ns if decoded else -1,
                tokens=last.tokens if last else 0,
                cancelled_ns=request.cancelled_ns,
                responses=1 if outcome is not Outcome.FAILED or last else 0,
            )
        )
        self._recorder.event("ended", request.request_id, outcome=outcome, detail=detail)
        self._workload.ended(now_ns)

    def _violate(self, kind: str, response: Response) -> None:
        detail = f"request {response.request_id}: {response.outcome} from rank {response.rank}"
        whom = (response.request_id,)
        self._recorder.violation(Violation(kind, response.rank, self._clock(), detail, whom))

    # -- the end -------------------------------------------------------------------------------

    def _spread(self, code: int, detail: str) -> None:
        """An instance stops, or all is answered: everybody ends."""
        if code > 0 and self._code >= 0:
            self._code = worst((code, self._code))
        if self._code >= 0:
            return
        self._code, self._detail = code, detail
        self._give_up_ns = self._clock() + self._stop_timeout_ns
        for instance in self._topology.instances:
            if instance.index not in self._stopped:
                self._tell(instance, Stop(code, detail))
        for request in list(self._open.values()):
            self._fire(request, AdmissionEvent.STOP)

    def _end_lost(self) -> None:
        """Every survivor has answered for what it had: what is left was the dead rank's, or in its
        mail (contract 6.5)."""
        for request in list(self._open.values()):
            self._end(request, Outcome.FAILED, self._lost, None)

    def _release(self) -> None:
        """Nobody will ask anybody any more: the ranks may leave, with the code that won."""
        for request in list(self._open.values()):
            detail = f"request {request.request_id}: no terminal response, last {request.state}"
            whom = (request.request_id,)
            self._recorder.violation(
                Violation("no_terminal_response", -1, self._clock(), detail, whom)
            )
            self._end(request, Outcome.FAILED, "no instance answered", None)
        if self._recorder.violations:
            self._code = worst((4, self._code))
        for instance in self._topology.instances:
            self._tell(instance, Release(self._code, self._detail))


def _weight(kind: Kind, arrival: Arrival) -> int:
    """What a request weighs for the choice of an instance: the tokens it will cost there."""
    if kind is Kind.CONTEXT:
        return arrival.prompt_tokens
    return arrival.prompt_tokens + arrival.output_tokens
