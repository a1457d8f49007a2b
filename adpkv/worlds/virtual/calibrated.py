"""What of an experiment's `calibration` the virtual world takes for messages and transfers, or what
the experiment says without one."""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction

from adpkv.config import Experiment
from adpkv.config.calibration import CalibrationConfig
from adpkv.core.ids import COORDINATOR
from adpkv.core.rank_failure import Attempt
from adpkv.core.topology import Kind
from adpkv.core.values import RequestSpec
from adpkv.executor.messages import (
    HOST,
    Admit,
    Advertise,
    Answers,
    Message,
    Missing,
    RankFailed,
)
from adpkv.timeline.recording import WorldTimeline
from adpkv.transport.port import Transport
from adpkv.worlds.virtual.draws import drawing
from adpkv.worlds.virtual.held_up import HoldingUp
from adpkv.worlds.virtual.iteration_work import KIB, Assigned, Work
from adpkv.worlds.virtual.mailbox import Latency
from adpkv.worlds.virtual.pace import Pace
from adpkv.worlds.virtual.schedule import Schedule

__all__ = ["Holding", "link", "mail_latency", "pace_of"]


def pace_of(
    experiment: Experiment,
    ticks_per_ns: int,
    timeline: WorldTimeline | None,
    schedule: Schedule | None,
    *,
    jump: bool,
) -> Pace:
    """How long the stretches of a run's groups take."""
    token_ns, assigned, block_tokens = Fraction(0), None, experiment.kv_cache.block_tokens
    if experiment.calibration is not None:
        requests = experiment.calibration.requests
        token_ns = requests.prefilled.block_ns / block_tokens
        token_ns += requests.prefilled.kib_ns * experiment.model.kv_bytes_per_token / KIB
        work = Work(requests.assigned, after_sync=True)
        assigned = Assigned(work, block_tokens, experiment.block_bytes)
    return Pace(
        collective_ns=experiment.model.collective_ns,
        jump=jump,
        ticks_per_ns=ticks_per_ns,
        timeline=timeline,
        schedule=schedule,
        calibration=experiment.calibration,
        seed=experiment.seed,
        token_ns=token_ns,
        assigned=assigned,
    )


def mail_latency(experiment: Experiment, pace: Pace) -> int | Latency:
    """How long messages take, in nanoseconds."""
    if experiment.calibration is None:
        return experiment.transceiver.mail_latency_ns
    return MeasuredMessages(experiment, experiment.calibration, pace).latency_ns


class MeasuredMessages:
    """How long messages take that a rank sends in an iteration: until that is so far, and from then
    on. What a rank does for the request that a message is about holds up its group's iteration."""

    def __init__(self, experiment: Experiment, calibration: CalibrationConfig, pace: Pace) -> None:
        self._pace, self._block_bytes = pace, experiment.block_bytes
        self._topology = experiment.topology.build()
        self._block_tokens = experiment.kv_cache.block_tokens
        self._blocks: dict[int, dict[Attempt, int]] = defaultdict(dict)
        """By generation instance: the KV blocks of each prompt that it was given, until it answers
        or nobody will. All of them, as `calibration.samples` counts: with staging an address names
        no blocks, and of a prompt whose prefix is cached only the others."""
        requests, messages = calibration.requests, calibration.messages
        self._advertised = Work(requests.advertised, after_sync=True)
        self._answered = Work(requests.answered, after_sync=True)
        seed = experiment.seed
        self._to_coordinator = drawing(messages.to_coordinator, seed, "to coordinator")
        self._admitted = drawing(messages.admitted, seed, "admitted")
        self._from_coordinator = drawing(messages.from_coordinator, seed, "from coordinator")
        self._beside = drawing(messages.beside_coordinator, seed, "beside coordinator")
        self._between_ranks = drawing(messages.between_ranks, seed, "between ranks")

    def _is_context(self, rank: int) -> bool:
        return self._topology.instance_of(rank).kind is Kind.CONTEXT

    def latency_ns(self, sender: int, to: int, number: int, message: Message) -> int:
        """How long the sender's message `number` takes."""
        if sender == COORDINATOR:
            way_ns = self._from_coordinator(number)
            if isinstance(message, Admit):
                if self._is_context(to):
                    way_ns += self._admitted(number)
                else:
                    self._note(self._topology.instance_of(to).index, message.spec)
            return way_ns
        instance = self._topology.instance_of(sender)
        work = self._pace.work(instance.index)
        if isinstance(message, Answers) and instance.kind is Kind.GENERATION:
            # The iteration before has made them: here it has ended before that.
            for response in message.responses:
                answered = response.request_id, response.attempt
                blocks = self._blocks[instance.index].pop(answered, 0)
                work.add(response.rank, self._answered, 1, blocks, blocks * self._block_bytes)
        elif isinstance(message, Advertise):
            asked = message.request_id, message.attempt
            blocks = self._blocks[instance.index].get(asked, 0)
            work.add(sender, self._advertised, 1, blocks, blocks * self._block_bytes)
        elif isinstance(message, Missing):
            for lost in message.requests:
                self._blocks[message.instance].pop(lost, None)
        elif isinstance(message, RankFailed) and message.leader < 0:
            self._blocks.pop(message.instance, None)
        if to == COORDINATOR:
            way = self._beside if sender == HOST else self._to_coordinator
            return work.total_ns() + way(sender, number)
        return work.so_far_ns(sender) + self._between_ranks(sender, number)

    def _note(self, instance: int, spec: RequestSpec) -> None:
        blocks = -(-spec.prompt_tokens // self._block_tokens)
        self._blocks[instance][spec.request_id, spec.attempt] = blocks


def link(experiment: Experiment) -> tuple[int, int]:
    """(latency in nanoseconds, bandwidth in bytes per second) of a sender's link."""
    if experiment.calibration is None:
        given = experiment.transceiver.link
        return given.latency_ns, given.bandwidth_bytes_per_s
    transfers = experiment.calibration.transfers
    return transfers.latency_ns, transfers.bandwidth_bytes_per_s


class Holding:
    """Makes the transports of all ranks take their groups' time as measured."""

    def __init__(self, experiment: Experiment, pace: Pace) -> None:
        self._pace, self._block_bytes = pace, experiment.block_bytes
        self._topology = experiment.topology.build()
        calibration = experiment.calibration
        self._works = None
        if calibration is not None:
            costs = calibration.transfers
            self._works = Work(costs.posted), Work(costs.sent), Work(costs.received)

    def up(self, rank: int, transport: Transport) -> Transport:
        """A rank's transport; without a calibration the same."""
        if self._works is None:
            return transport
        posted, sent, received = self._works
        instance = self._topology.instance_of(rank)

        def hold_up(work: Work, times: int, blocks: int, nbytes: int) -> None:
            self._pace.work(instance.index).add(rank, work, times, blocks, nbytes)

        ended = sent if instance.kind is Kind.CONTEXT else received
        return HoldingUp(transport, self._block_bytes, hold_up, posted=posted, ended=ended)
