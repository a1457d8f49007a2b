"""Assembles one rank from an experiment and from its ports; the same for both worlds."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import lcm
from typing import Final

import msgspec

from adpkv import plugins
from adpkv.config import Experiment
from adpkv.config.model import CostedModelConfig
from adpkv.core.block_pool import BlockPool
from adpkv.core.ids import SessionId
from adpkv.core.inbox_age import InboxAges
from adpkv.core.membership import Membership
from adpkv.core.ownership import Replica, SoleOwner
from adpkv.core.report import FaultCount
from adpkv.core.responses import ResponseBuffer
from adpkv.core.router import Router
from adpkv.core.rules import Rules
from adpkv.core.session import Role
from adpkv.core.session_limits import TransceiverLimits
from adpkv.core.topology import Instance, Topology
from adpkv.core.transceiver import Transceiver
from adpkv.core.values import Violation
from adpkv.executor.collectives import CollectiveCounts
from adpkv.executor.context import ContextServing
from adpkv.executor.generation import GenerationServing
from adpkv.executor.leader import Leader
from adpkv.executor.loop import RankProgram
from adpkv.executor.messages import Unpacked
from adpkv.executor.phases import Phases
from adpkv.executor.ports import Clock, Mailbox, Recorder, Signals
from adpkv.executor.rank import Rank, RankPorts, Succession
from adpkv.executor.sampling import OFF, Sampler
from adpkv.executor.serving import Serving
from adpkv.executor.transfers import Transfers
from adpkv.memory.port import Memory, SlotWatch, StagingArea
from adpkv.model.cost import CostModel
from adpkv.model.own import OwnModel
from adpkv.model.port import Model
from adpkv.transport.port import Transport
from adpkv.transport.staged import StagedTransport
from adpkv.worlds.instance_settings import (
    InstanceSettings,
    group_limits,
    says_cached,
    settings_of,
)
from adpkv.worlds.once import once

__all__ = [
    "NO_LIMIT",
    "Parts",
    "build_inbox_ages",
    "build_model",
    "build_rank",
    "build_staged",
    "says_cached",
]

UNPACKED_REPEATS: Final = 8
"""How often a receiver repeats the message how many chunks it has unpacked, within the time that
the transfer may take."""

NO_LIMIT: Final = (1 << 62) - 1
"""Of bytes that are copied between two polls: by a device, or in virtual time."""

CONTRACT: Final = Rules()


def _as_configured(limits: TransceiverLimits) -> TransceiverLimits:
    return limits


class Parts(msgspec.Struct, frozen=True):
    """The classes that a rank is made of, beside its rules and phases. A field policy replaces some
    of them."""

    limits: Callable[[TransceiverLimits], TransceiverLimits] = _as_configured
    context: type[ContextServing] = ContextServing
    generation: type[GenerationServing] = GenerationServing
    replica: type[Replica] = Replica


CONTRACTS_PARTS: Final = Parts()


def build_model(experiment: Experiment, instance: int = 0, *, calibrated: bool = False) -> Model:
    """The model that the experiment names, with the costs of an instance. One that computes is a
    cost model here, which is all of it that virtual time needs; `worlds.mpi.rank_model` makes it
    compute. `calibrated`: its steps take what real ones were measured to take.

    Raises:
        UsageError: it is a custom model, and cannot be created.
    """
    model = experiment.model
    if isinstance(model, CostedModelConfig):
        make = partial(_cost_model, experiment, model.time_scale, instance, calibrated=calibrated)
        return once(experiment, ("model", instance, calibrated), make)
    made = plugins.made(plugins.MODEL, model.kind, model.parameters, experiment, Model)
    return OwnModel(f"{plugins.MODEL.key}: {model.kind}", made)


def _cost_model(
    experiment: Experiment, time_scale: float, instance: int, *, calibrated: bool
) -> CostModel:
    # A world has one unit of time for the steps of all instances.
    costs_of = experiment.measured_costs_of if calibrated else experiment.costs_of
    several = experiment.topology.build().instances if experiment.topology.servers else ()
    ticks = lcm(*(costs_of(one.index).ticks_per_ns for one in several), costs_of(0).ticks_per_ns)
    return CostModel(costs_of(instance), time_scale, ticks_per_ns=ticks)


def build_inbox_ages(recorder: Recorder, rank: int, clock: Clock, bound_ns: int) -> InboxAges:
    """Watches how long a rank leaves its input unread. Input that lies unread for longer than
    `bound_ns` is recorded as a violation."""

    def report(what: str, waited_ns: int, requests: tuple[int, ...]) -> None:
        detail = f"{what} lay there for {waited_ns / 1e9:.3f} s, the bound is {bound_ns / 1e9:g} s"
        recorder.violation(Violation("unbounded_wait", rank, clock(), detail, requests))

    return InboxAges(bound_ns, report)


def build_staged(
    experiment: Experiment,
    inner: Transport,
    area: StagingArea,
    mailbox: Mailbox,
    *,
    clock: Clock,
    wake: Callable[[int], None] = lambda _: None,
    watch: SlotWatch | None = None,
    pack_bytes: int = NO_LIMIT,
) -> StagedTransport:
    """The transport that packs and unpacks, over one between staging areas.

    Args:
        clock, wake: the world's clock, not a rank's own; and how to be polled at a time of it.
        pack_bytes: how much may be copied between two polls. Only copies that the rank makes
            itself, as in host memory, need a limit.
    """

    def tell(sender: int, session: SessionId, chunks: int) -> None:
        mailbox.send(sender, Unpacked(*session, chunks))

    # The message is needed for each chunk, and its loss must not cost the transfer its deadline.
    repeat_ns = max(
        experiment.transceiver.transfer_timeout_ns // UNPACKED_REPEATS,
        experiment.legal_silence.message_ns,
    )
    return StagedTransport(
        inner,
        area,
        tell,
        pack_bytes=pack_bytes,
        repeat_ns=repeat_ns,
        clock=clock,
        wake=wake,
        watch=watch,
    )


def build_rank(
    experiment: Experiment,
    topology: Topology,
    rank: int,
    *,
    clock: Clock,
    mailbox: Mailbox,
    transport: Transport,
    memory: Memory,
    model: Model,
    recorder: Recorder,
    signals: Signals,
    inbox_ages: InboxAges,
    counts: Callable[[], CollectiveCounts],
    pulse: bool,
    staged: StagedTransport | None = None,
    membership: Membership | None = None,
    fired: Callable[[], tuple[FaultCount, ...]] = tuple,
    rules: Rules = CONTRACT,
    parts: Parts = CONTRACTS_PARTS,
    phases: Callable[[Rank, Callable[[], CollectiveCounts]], Phases] = Phases,
    route: Router | None = None,
    sampler: Sampler = OFF,
) -> RankProgram:
    """One rank's program, over the ports that its world provides.

    Args:
        experiment, topology, rank: the experiment, its topology (built), and the world rank.
        clock, mailbox: this rank's clock and its typed messages.
        transport, memory: its end of the transport, and its KV blocks.
        staged: the part of `transport` that packs and unpacks, if there is one.
        model: its part of the forward step.
        recorder, sampler: where it records its events, and its state over time.
        signals: what the operating system asked for.
        inbox_ages: how long its messages and its transfers' ends lie unread.
        counts: what its world has counted of its collectives so far.
        pulse: whether its leader reports its instance's state to the coordinator periodically.
        membership: the living members of its group; shared by those of its ranks in one process.
        fired: how often each fault has hit this rank so far.
        rules, parts, phases, route: a policy's, in place of the contract's and of our router.
    """
    instance = topology.instance_of(rank)
    same = settings_of(experiment, instance)
    successor = partial(_leader, same, instance, mailbox, clock, pulse=pulse)
    assembled = Rank(
        rank=rank,
        instance=instance,
        limits=group_limits(experiment, instance, route),
        timing=same.timing,
        ports=RankPorts(
            clock, mailbox, transport, model, recorder, signals, memory, staged, sampler
        ),
        pool=BlockPool(same.blocks, reuse=same.reuses),
        transceiver=_transceiver(same, rules, parts, transport),
        owner=_owner(same, rank - instance.first, parts),
        responses=ResponseBuffer(),
        leader=successor() if rank == instance.leader else None,
        succession=_succession(same, membership or Membership(instance.members), successor),
        inbox_ages=inbox_ages,
        rules=rules,
        memory_limits=same.memory_limits,
        conduct=same.conduct,
        fired=fired,
    )
    serving = assembled.serving = _serving(same, assembled, parts)
    transceiver = assembled.transceiver
    assembled.transfers = Transfers(rank, transceiver, transport, mailbox, serving, staged)
    return RankProgram(phases(assembled, counts))


def _succession(
    same: InstanceSettings, membership: Membership, successor: Callable[[], Leader]
) -> Succession:
    return Succession(membership, successor, shrinks=same.shrinks)


def _owner(same: InstanceSettings, index: int, parts: Parts) -> SoleOwner:
    return parts.replica(index) if same.replicated else SoleOwner()


def _transceiver(
    same: InstanceSettings, rules: Rules, parts: Parts, transport: Transport
) -> Transceiver:
    limits = parts.limits(same.transceiver)
    return Transceiver(same.role, limits, rules, can_withdraw=transport.can_withdraw)


def _leader(
    same: InstanceSettings, instance: Instance, mailbox: Mailbox, clock: Clock, *, pulse: bool
) -> Leader:
    return Leader(
        instance.index,
        mailbox,
        clock,
        queue_timeout_ns=same.queue_timeout_ns,
        pulse_ns=same.pulse_ns if pulse else 0,
    )


def _serving(same: InstanceSettings, rank: Rank, parts: Parts) -> Serving:
    if same.role is Role.SENDER:
        return parts.context(rank, same.token_budget)
    return parts.generation(rank, same.max_batch_size, verify_at_end=same.verify_at_end)
