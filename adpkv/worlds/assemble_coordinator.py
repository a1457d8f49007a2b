"""Assembles the coordinator from an experiment; the same for both worlds."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from adpkv.config import Experiment
from adpkv.config.workload import CustomWorkloadConfig
from adpkv.core.ids import NEVER
from adpkv.core.record import RequestRecord
from adpkv.core.topology import Kind, Topology
from adpkv.executor.clients import Manners
from adpkv.executor.coordinator import Coordinator
from adpkv.executor.maintenance import Maintenance
from adpkv.executor.messages import Pulse
from adpkv.executor.outages import Elasticity
from adpkv.executor.ports import Clock, Mailbox, Recorder
from adpkv.workload.port import Workload
from adpkv.worlds.instance_settings import stop_ns
from adpkv.worlds.once import once

__all__ = ["build_coordinator"]

STOP_TIMEOUTS = 3
"""How many drain timeouts the coordinator gives the instances to answer and drain."""

HEARING_SHARE = 8
"""A rank speaks of its illness when its grace is over. The other end of what is stuck does so too,
by a transfer timeout later (one counts from the post, the other from the quarantine). For the way
of that word there is an eighth of the grace more."""


def build_coordinator(
    experiment: Experiment,
    topology: Topology,
    workload: Workload,
    *,
    clock: Clock,
    mailbox: Mailbox,
    recorder: Recorder,
    on_record: Callable[[RequestRecord], None],
    on_pulse: Callable[[int, Pulse], None] | None = None,
) -> Coordinator:
    """The coordinator, over its own mailbox and clock. `on_record` gets each finished request;
    `on_pulse(instance, pulse)` each report of an instance's leader."""
    return Coordinator(
        topology,
        workload,
        clock=clock,
        mailbox=mailbox,
        recorder=recorder,
        on_record=on_record,
        on_pulse=on_pulse,
        stop_timeout_ns=STOP_TIMEOUTS * stop_ns(experiment),
        shrinks=experiment.on_rank_failure == "shrink",
        recompute=experiment.recompute,
        elasticity=once(experiment, "elasticity", partial(_elasticity, experiment)),
        manners=_manners(experiment),
    )


def _manners(experiment: Experiment) -> Manners:
    workload, admission = experiment.workload, experiment.admission
    retry = None if isinstance(workload, CustomWorkloadConfig) else workload.retry
    return Manners(
        1 if retry is None else retry.attempts,
        0 if retry is None else retry.pause_ns,
        admission.requests,
        admission.tokens,
    )


def _elasticity(experiment: Experiment) -> Elasticity:
    topology, limits = experiment.topology, experiment.transceiver
    return Elasticity(
        drain_timeout_ns=experiment.executor.drain_timeout_ns,
        drains=experiment.on_instance_unhealthy == "drain",
        spares={Kind.CONTEXT: topology.context.spares, Kind.GENERATION: topology.generation.spares},
        maintenance=tuple(
            Maintenance(
                one.instance,
                one.after_ns,
                NEVER if one.duration_ns is None else one.after_ns + one.duration_ns,
            )
            for one in topology.maintenance
        ),
        hearing_ns=limits.transfer_timeout_ns + limits.shutdown_grace_ns // HEARING_SHARE,
    )
