"""What of an experiment's `calibration` the virtual world takes for messages and transfers, or what
the experiment says without one."""

from __future__ import annotations

from collections import Counter
from functools import partial
from math import ceil

from adpkv.config import Experiment
from adpkv.core.ids import COORDINATOR
from adpkv.core.topology import Instance, Kind
from adpkv.executor.messages import HOST, Advertise, Answers, Message
from adpkv.timeline.recording import WorldTimeline
from adpkv.transport.port import Transport
from adpkv.worlds.virtual.draws import drawing
from adpkv.worlds.virtual.held_up import HoldingUp, for_bytes
from adpkv.worlds.virtual.mailbox import Latency
from adpkv.worlds.virtual.pace import Pace
from adpkv.worlds.virtual.schedule import Schedule

__all__ = ["holding_up", "link", "mail_latency", "pace_of"]


def pace_of(
    experiment: Experiment,
    ticks_per_ns: int,
    timeline: WorldTimeline | None,
    schedule: Schedule | None,
    *,
    jump: bool,
) -> Pace:
    """How long the stretches of a run's groups take."""
    return Pace(
        collective_ns=experiment.model.collective_ns,
        jump=jump,
        ticks_per_ns=ticks_per_ns,
        timeline=timeline,
        schedule=schedule,
        calibration=experiment.calibration,
        seed=experiment.seed,
    )


def mail_latency(experiment: Experiment, pace: Pace) -> int | Latency:
    """How long messages take, in nanoseconds. What a rank does for the request that a message is
    about holds up its group's iteration."""
    if experiment.calibration is None:
        return experiment.transceiver.mail_latency_ns
    messages, requests = experiment.calibration.messages, experiment.calibration.requests
    instance_of = experiment.topology.build().instance_of
    advertised_ns, answered_ns = ceil(requests.advertised_ns), ceil(requests.answered_ns)

    seed = experiment.seed
    to_coordinator = drawing(messages.to_coordinator, seed, "to coordinator")
    from_coordinator = drawing(messages.from_coordinator, seed, "from coordinator")
    beside = drawing(messages.beside_coordinator, seed, "beside coordinator")
    between_ranks = drawing(messages.between_ranks, seed, "between ranks")

    def latency_ns(sender: int, to: int, number: int, message: Message) -> int:
        if sender == COORDINATOR:
            return from_coordinator(number)
        group = instance_of(sender).index
        if isinstance(message, Answers):
            answers = Counter(response.rank for response in message.responses)
            for rank, number_of in answers.items():
                pace.hold_up(group, rank, number_of * answered_ns)
            # They are made before the iteration from whose beginning their way was measured.
            held_ns = max(answers.values(), default=0) * answered_ns
            return held_ns + (beside if sender == HOST else to_coordinator)(sender, number)
        if to == COORDINATOR:
            return (beside if sender == HOST else to_coordinator)(sender, number)
        if isinstance(message, Advertise):
            nbytes = len(message.blocks) * experiment.block_bytes
            ns = advertised_ns + for_bytes(requests.advertised_kib_ns, nbytes)
            pace.hold_up(group, sender, ns)
        return between_ranks(sender, number)

    return latency_ns


def link(experiment: Experiment) -> tuple[int, int]:
    """(latency in nanoseconds, bandwidth in bytes per second) of a sender's link."""
    if experiment.calibration is None:
        given = experiment.transceiver.link
        return given.latency_ns, given.bandwidth_bytes_per_s
    transfers = experiment.calibration.transfers
    return transfers.latency_ns, transfers.bandwidth_bytes_per_s


def holding_up(
    experiment: Experiment, instance: Instance, rank: int, transport: Transport, pace: Pace
) -> Transport:
    """A rank's transport, which takes its group's time as measured."""
    if experiment.calibration is None:
        return transport
    return HoldingUp(
        transport,
        experiment.calibration.transfers,
        partial(pace.hold_up, instance.index, rank),
        receives=instance.kind is Kind.GENERATION,
    )
