"""Assembles one rank from an experiment and from its ports; the same for both worlds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import lcm
from typing import Final

from adpkv import plugins
from adpkv.config import Experiment
from adpkv.config.model import CostedModelConfig
from adpkv.core import router
from adpkv.core.block_pool import BlockPool
from adpkv.core.group_limits import GroupLimits
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
from adpkv.core.slots import SlotLimits
from adpkv.core.topology import Instance, Kind, Topology
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
from adpkv.executor.rank import Conduct, Rank, RankPorts, Succession, Timing
from adpkv.executor.sampling import OFF, Sampler
from adpkv.executor.serving import Serving
from adpkv.executor.transfers import Transfers
from adpkv.memory.port import Memory, SlotWatch, StagingArea
from adpkv.model.cost import CostModel
from adpkv.model.own import OwnModel
from adpkv.model.port import Model
from adpkv.transport.port import Transport
from adpkv.transport.staged import StagedTransport
from adpkv.worlds.once import once

__all__ = [
    "NO_LIMIT",
    "Parts",
    "build_inbox_ages",
    "build_model",
    "build_rank",
    "build_staged",
    "says_cached",
    "stop_ns",
]

ABANDON_AFTER = 4
"""After how many drain timeouts a group leaves without the coordinator's release. The coordinator
gives up earlier, so it has reported by then whose answer is missing."""

SENDER_SLACK_NS = 1_000_000_000
"""How much longer a sender waits than its receiver, beyond the time that messages may take. So it
is the receiver's timeout that the client sees: its limit is about what the client waits for."""

RANK_FAILURE_SLACK_NS = 1_000_000_000
"""Time for a group with a failed rank to resume on a loaded machine."""


UNPACKED_REPEATS: Final = 8
"""How often a receiver repeats the message how many chunks it has unpacked, within the time that
the transfer may take."""

NO_LIMIT: Final = (1 << 62) - 1
"""Of bytes that are copied between two polls: by a device, or in virtual time."""

CONTRACT: Final = Rules()


def _as_configured(limits: TransceiverLimits) -> TransceiverLimits:
    return limits


@dataclass(frozen=True, slots=True)
class Parts:
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
    instance, silence = topology.instance_of(rank), experiment.legal_silence
    successor = partial(_leader, experiment, instance, mailbox, clock, pulse=pulse)
    assembled = Rank(
        rank=rank,
        instance=instance,
        limits=_group_limits(experiment, instance, route),
        timing=once(experiment, ("timing", silence), partial(_timing, experiment)),
        ports=RankPorts(
            clock, mailbox, transport, model, recorder, signals, memory, staged, sampler
        ),
        pool=_pool(experiment, instance),
        transceiver=_transceiver(experiment, instance, rules, parts, transport),
        owner=_owner(experiment, rank - instance.first, parts),
        responses=ResponseBuffer(),
        leader=successor() if rank == instance.leader else None,
        succession=_succession(experiment, membership or Membership(instance.members), successor),
        inbox_ages=inbox_ages,
        rules=rules,
        memory_limits=once(experiment, "memory_limits", lambda: experiment.router.memory_limits),
        conduct=once(experiment, "conduct", partial(_conduct, experiment)),
        fired=fired,
    )
    serving = assembled.serving = _serving(experiment, assembled, parts)
    transceiver = assembled.transceiver
    assembled.transfers = Transfers(rank, transceiver, transport, mailbox, serving, staged)
    return RankProgram(phases(assembled, counts))


def _succession(
    experiment: Experiment, membership: Membership, successor: Callable[[], Leader]
) -> Succession:
    return Succession(membership, successor, shrinks=experiment.on_rank_failure == "shrink")


def _conduct(experiment: Experiment) -> Conduct:
    drains = experiment.on_instance_unhealthy == "drain"
    return Conduct(drains=drains, finishes=experiment.on_sigterm == "finish")


def _owner(experiment: Experiment, index: int, parts: Parts) -> SoleOwner:
    return parts.replica(index) if experiment.topology.replicated else SoleOwner()


def _transceiver(
    experiment: Experiment, instance: Instance, rules: Rules, parts: Parts, transport: Transport
) -> Transceiver:
    role = Role.SENDER if instance.kind is Kind.CONTEXT else Role.RECEIVER
    key = ("transceiver_limits", role, experiment.legal_silence)
    limits = parts.limits(once(experiment, key, partial(_transceiver_limits, experiment, role)))
    return Transceiver(role, limits, rules, can_withdraw=transport.can_withdraw)


def _pool(experiment: Experiment, instance: Instance) -> BlockPool:
    cache = experiment.kv_cache
    blocks = experiment.blocks_of(instance.index)
    return BlockPool(blocks, reuse=cache.reused_by(instance.kind))


def _timing(experiment: Experiment) -> Timing:
    return Timing(
        experiment.executor.busy_wait_ns,
        experiment.executor.idle_wait_ns,
        max(experiment.executor.drain_timeout_ns, experiment.legal_silence.proof_ns),
        ABANDON_AFTER * stop_ns(experiment),
        experiment.legal_silence.late_ns,
    )


def stop_ns(experiment: Experiment) -> int:
    """For how long an instance may send nothing while it stops, in nanoseconds."""
    patience_ns = experiment.legal_silence.proof_ns + RANK_FAILURE_SLACK_NS
    return max(experiment.executor.drain_timeout_ns, patience_ns)


def _leader(
    experiment: Experiment, instance: Instance, mailbox: Mailbox, clock: Clock, *, pulse: bool
) -> Leader:
    return Leader(
        instance.index,
        mailbox,
        clock,
        queue_timeout_ns=_queue_limit_ns(experiment, instance.kind),
        pulse_ns=experiment.pulse_ns if pulse else 0,
    )


def _queue_limit_ns(experiment: Experiment, kind: Kind) -> int:
    """How long a request may wait in an instance, for a rank and for blocks, slots included at the
    receiving end. A context instance schedules it first; a generation instance fetches its KV."""
    if kind is Kind.CONTEXT:
        return experiment.executor.queue_timeout_ns
    return experiment.transceiver.wait_timeout_ns


def _serving(experiment: Experiment, rank: Rank, parts: Parts) -> Serving:
    if rank.instance.kind is Kind.CONTEXT:
        return parts.context(rank, experiment.executor.token_budget)
    return parts.generation(
        rank,
        experiment.executor.max_batch_size,
        verify_at_end=experiment.observe.verify_at_end,
    )


def _group_limits(experiment: Experiment, instance: Instance, route: Router | None) -> GroupLimits:
    if route is not None:
        return _made_group_limits(experiment, instance, route)
    key = ("group_limits", instance.index)
    return once(experiment, key, partial(_made_group_limits, experiment, instance, None))


def _made_group_limits(
    experiment: Experiment, instance: Instance, route: Router | None
) -> GroupLimits:
    if experiment.topology.replicated:
        route = router.replicate  # every rank gets every request: there is nothing to choose
    elif route is None:
        route = router.POLICIES[experiment.router.policy]
    says = says_cached(experiment)
    return GroupLimits(
        kind=instance.kind,
        ranks=instance.ranks,
        block_tokens=experiment.kv_cache.block_tokens,
        usable_blocks=experiment.blocks_of(instance.index) - 1,
        peer_blocks=experiment.most_peer_blocks,
        most_requests=experiment.executor.max_requests_per_rank,
        route=route,
        late=route not in (router.replicate, router.blind),
        peer_transfers=experiment.transceiver.max_inflight_transfers_per_peer,
        reuses=instance.kind in says,
        asks_cached=route is router.WANTS_CACHED and says.get(instance.kind, False),
        recomputes=experiment.recompute,
        most_passed=experiment.router.most_overtaken,
    )


def says_cached(experiment: Experiment) -> dict[Kind, bool]:
    """The kinds of instances whose ranks say what they have cached of the requests that wait, and
    whether they say it of new ones too, before these are routed."""
    return once(experiment, "says_cached", partial(_says_cached, experiment))


def _says_cached(experiment: Experiment) -> dict[Kind, bool]:
    if experiment.topology.replicated:
        return {}
    wanted = router.POLICIES.get(experiment.router.policy) is router.WANTS_CACHED
    return {kind: wanted for kind in Kind if experiment.kv_cache.reused_by(kind)}


def _transceiver_limits(experiment: Experiment, role: Role) -> TransceiverLimits:
    config, legal_silence = experiment.transceiver, experiment.legal_silence
    wait_timeout_ns, slack_ns, staging = config.wait_timeout_ns, 0, experiment.staging
    if role is Role.SENDER:
        # The receiver may notice its own timeout late, and its message then takes time.
        slack_ns = SENDER_SLACK_NS + 2 * (
            legal_silence.message_ns - legal_silence.look_ns + legal_silence.late_ns
        )
        # The receiver may first wait for a rank, then for blocks and a transfer slot.
        wait_timeout_ns += experiment.executor.queue_timeout_ns + slack_ns
    return TransceiverLimits(
        slots=SlotLimits(
            config.max_inflight_transfers,
            config.max_inflight_transfers_per_peer,
            config.max_inflight_blocks_per_peer,
            0 if staging is None else staging.slots,
        ),
        transfer_timeout_ns=config.transfer_timeout_ns + slack_ns,
        answer_timeout_ns=max(config.transfer_timeout_ns, legal_silence.message_ns),
        wait_timeout_ns=wait_timeout_ns,
        slot_timeout_ns=config.wait_timeout_ns + slack_ns,
        quarantine_budget=config.quarantine_budget,
        progress_deadline_ns=max(config.progress_deadline_ns, legal_silence.proof_ns),
        shutdown_grace_ns=config.shutdown_grace_ns,
        poll_limit=config.poll_limit,
    )
