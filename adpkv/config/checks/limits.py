"""Checks between the limits of topology, executor and transceiver.

Each function yields the problems it finds; `relations` lists what it reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Final

from adpkv.config.experiment import Experiment
from adpkv.config.legal_silence import longest_step_ns
from adpkv.config.problem import Problem
from adpkv.config.staging import DEVICE_MEMORIES
from adpkv.config.units import duration_text, size_text
from adpkv.config.workload import CustomWorkloadConfig, ScriptConfig
from adpkv.counting import counted
from adpkv.plugins import TRANSPORT

__all__ = [
    "MAX_RANKS",
    "avoidance",
    "batch",
    "budget",
    "calibration",
    "cancel",
    "hang",
    "piece",
    "post_block",
    "post_budget",
    "readiness",
    "reduction",
    "replicas",
    "reuse",
    "slots",
    "staging_slot",
    "staging_transport",
    "survivors",
    "timeline",
    "topology",
    "waits",
]

MAX_RANKS: Final = 65_536
"""The most ranks of a job. A larger number is more likely a typing error than a cluster."""


def calibration(experiment: Experiment) -> Iterator[Problem]:
    """Each size of a group has one entry, and each group gets on between its stalls."""
    groups = () if experiment.calibration is None else experiment.calibration.groups
    seen: set[int] = set()
    for number, group in enumerate(groups):
        if group.ranks in seen:
            path = ("calibration", "groups", number, "ranks")
            yield Problem(path, f"there is an entry for {counted(group.ranks, 'rank')} already")
        seen.add(group.ranks)
        stalls = group.stalls
        if stalls.every_ns and 2 * stalls.length.longest_ns > stalls.every_ns:
            yield Problem(
                ("calibration", "groups", number, "stalls", "length"),
                f"a stall of up to {duration_text(stalls.length.longest_ns)} is more than half of"
                f" the {duration_text(stalls.every_ns)} from one to the next",
            )


def timeline(experiment: Experiment) -> Iterator[Problem]:
    """A timeline shows requests, transfers, faults and health, which are in the events."""
    observe = experiment.observe
    if observe.timeline and not observe.events:
        yield Problem(("observe", "timeline"), "needs observe.events: true")


def topology(experiment: Experiment) -> Iterator[Problem]:
    """The job must have at most `MAX_RANKS` ranks."""
    ranks = experiment.topology.ranks
    if ranks > MAX_RANKS:
        yield Problem(("topology",), f"makes {ranks} ranks in all; the most is {MAX_RANKS}")


def replicas(experiment: Experiment) -> Iterator[Problem]:
    """Without ADP both kinds of instance must have the same number of ranks, as each rank sends its
    shard to the rank with its index; and no request may insist on a rank."""
    topology, workload = experiment.topology, experiment.workload
    if not topology.replicated:
        return
    ranks = topology.context.ranks
    if topology.generation.ranks != ranks:
        other = f"topology.context.ranks, which is {ranks}: topology.attention is replicated"
        yield Problem(("topology", "generation", "ranks"), f"must be equal to {other}")
    for i, server in enumerate(topology.servers):
        if server.ranks not in (None, ranks):
            why = f"topology.context.ranks, which is {ranks}: topology.attention is replicated"
            yield Problem(("topology", "servers", i, "ranks"), f"must be equal to {why}")
    why = "topology.attention is replicated, so every rank has each request"
    if isinstance(workload, ScriptConfig):
        for i, asked in enumerate(workload.requests):
            if asked.wanted is not None:
                path = ("workload", "requests", i, "wanted")
                yield Problem(path, f"must be left out: {why}")
    elif not isinstance(workload, CustomWorkloadConfig) and workload.pinned:
        yield Problem(("workload", "pinned"), f"must be 0: {why}")


def survivors(experiment: Experiment) -> Iterator[Problem]:
    """A group can go on without a failed rank only with ADP: else shards would be missing. And only
    such a job can recompute requests."""
    shrinks = experiment.on_rank_failure == "shrink"
    if shrinks and experiment.topology.replicated:
        why = (
            "topology.attention is replicated, so a failed rank's shard of each request is missing"
        )
        yield Problem(("on_rank_failure",), f"must be shutdown: {why}")
    topology = experiment.topology
    drains = experiment.on_instance_unhealthy == "drain" or topology.maintenance
    if experiment.recompute and not shrinks and not drains:
        needs = "on_rank_failure: shrink, or on_instance_unhealthy: drain"
        yield Problem(("recompute",), f"means nothing here: it needs {needs}")


def spares(experiment: Experiment) -> Iterator[Problem]:
    """One of each kind serves, and what is taken out of service exists."""
    topology = experiment.topology
    for key, group in (("context", topology.context), ("generation", topology.generation)):
        if group.spares >= group.instances:
            most = f"must be below instances, which is {group.instances}"
            yield Problem(("topology", key, "spares"), most)
    count = topology.context.instances + topology.generation.instances
    for i, one in enumerate(topology.maintenance):
        if one.instance >= count:
            path = ("topology", "maintenance", i, "instance")
            yield Problem(path, f"{one.instance} is no instance: they are 0 to {count - 1}")


def reduction(experiment: Experiment) -> Iterator[Problem]:
    """The policy `reduce` has a meaning only without ADP."""
    if experiment.policy.reduce == "own" and not experiment.topology.replicated:
        why = "each request has one rank; it needs topology.attention: replicated"
        yield Problem(("policy", "reduce"), f"means nothing here: {why}")


def reuse(experiment: Experiment) -> Iterator[Problem]:
    """The policies `reuse` and `full_hit` mean something only where receivers keep KV."""
    policy = experiment.policy
    historical = {"reuse": policy.reuse == "unpinned", "full_hit": policy.full_hit == "silent"}
    for key, is_historical in historical.items():
        if is_historical and not experiment.kv_cache.reuse_received:
            why = "no receiver has any of a prompt already; it needs kv_cache.reuse_received: true"
            yield Problem(("policy", key), f"means nothing here: {why}")


def cancel(experiment: Experiment) -> Iterator[Problem]:
    """Without ADP the policy `cancel: boolean` is impossible: all ranks must agree before blocks
    are freed, and a rank with this policy has forgotten the request."""
    if experiment.policy.cancel == "boolean" and experiment.topology.replicated:
        why = "replicas agree on when blocks are free, and one that has forgotten a request cannot"
        problem = f"must be structured: topology.attention is replicated; {why}"
        yield Problem(("policy", "cancel"), problem)


def batch(experiment: Experiment) -> Iterator[Problem]:
    """A rank must be allowed to own as many requests as it can decode at once."""
    least = experiment.executor.max_batch_size
    if experiment.executor.max_requests_per_rank < least:
        path = ("executor", "max_requests_per_rank")
        yield Problem(path, f"must be at least executor.max_batch_size, which is {least}")


def waits(experiment: Experiment) -> Iterator[Problem]:
    """The idle wait must not be shorter than the busy wait."""
    busy_ns = experiment.executor.busy_wait_ns
    if experiment.executor.idle_wait_ns < busy_ns:
        least = f"executor.busy_wait, which is {duration_text(busy_ns)}"
        yield Problem(("executor", "idle_wait"), f"must be at least {least}")


def avoidance(experiment: Experiment) -> Iterator[Problem]:
    """The longest pause of a rank that is avoided must not be shorter than the first one."""
    first_ns = experiment.router.avoid_pause_ns
    if experiment.router.avoid_pause_limit_ns < first_ns:
        least = f"router.avoid_pause, which is {duration_text(first_ns)}"
        yield Problem(("router", "avoid_pause_limit"), f"must be at least {least}")


def readiness(experiment: Experiment) -> Iterator[Problem]:
    """A server without work must report often enough to stay ready."""
    idle_ns, observe = experiment.executor.idle_wait_ns, experiment.observe
    if observe.http is not None and observe.ready_timeout_ns <= 2 * idle_ns:
        least = f"twice executor.idle_wait, which is {duration_text(idle_ns)}"
        yield Problem(("observe", "ready_timeout"), f"must be more than {least}")


def hang(experiment: Experiment) -> Iterator[Problem]:
    """A set `hang_timeout` must be longer than a wait and a step. The default is
    (`Experiment.hang_ns`)."""
    hang_ns, idle_ns = experiment.diagnosis.hang_timeout_ns, experiment.executor.idle_wait_ns
    if hang_ns is None:
        return
    step_ns = longest_step_ns(
        experiment.slowest_model,
        experiment.executor,
        experiment.largest_cache,
        experiment.workload,
    )
    step_ns = int(step_ns * Fraction(experiment.model.time_scale))
    path = ("diagnosis", "hang_timeout")
    if hang_ns <= idle_ns:
        yield Problem(
            path, f"must be more than executor.idle_wait, which is {duration_text(idle_ns)}"
        )
    if hang_ns <= step_ns:
        yield Problem(
            path,
            f"must be more than the longest step, which is {duration_text(step_ns)}"
            " (model.step_base and what the workload adds)",
        )


def budget(experiment: Experiment) -> Iterator[Problem]:
    """One stuck peer must not be able to exceed the quarantine budget (contract 4.3)."""
    transceiver = experiment.transceiver
    path = ("transceiver", "max_inflight_transfers_per_peer")
    if transceiver.max_inflight_transfers_per_peer > transceiver.quarantine_budget:
        most = f"transceiver.quarantine_budget, which is {transceiver.quarantine_budget}"
        yield Problem(path, f"must be at most {most}: one wedged peer may not exceed the budget")


def slots(experiment: Experiment) -> Iterator[Problem]:
    """The transfers per peer must not exceed the transfers in all."""
    transceiver = experiment.transceiver
    path = ("transceiver", "max_inflight_transfers_per_peer")
    if transceiver.max_inflight_transfers_per_peer > transceiver.max_inflight_transfers:
        most = f"transceiver.max_inflight_transfers, which is {transceiver.max_inflight_transfers}"
        yield Problem(path, f"must be at most {most}")


def _on_device(experiment: Experiment) -> bool:
    return experiment.kv_cache.memory in DEVICE_MEMORIES


def piece(experiment: Experiment) -> Iterator[Problem]:
    """A piece must hold at least one block, as transfers are cut between blocks. (On memory of a
    device `device_piece` counts, and a larger block is a piece.)"""
    block_bytes = experiment.block_bytes
    if experiment.transceiver.piece_bytes < block_bytes and not _on_device(experiment):
        least = (
            f"one KV block, which is {size_text(block_bytes)} "
            f"({experiment.kv_cache.block_tokens} tokens of "
            f"{size_text(experiment.model.kv_bytes_per_token)})"
        )
        yield Problem(("transceiver", "piece"), f"must be at least {least}")


def post_budget(experiment: Experiment) -> Iterator[Problem]:
    """The post budget must allow at least one piece per iteration."""
    piece_bytes = experiment.transceiver.piece_bytes
    if experiment.transceiver.post_budget_bytes < piece_bytes:
        least = f"transceiver.piece, which is {size_text(piece_bytes)}"
        yield Problem(("transceiver", "post_budget"), f"must be at least {least}")


def post_block(experiment: Experiment) -> Iterator[Problem]:
    """If `piece` is too small for a block, so may be `post_budget`: report both at once."""
    block_bytes, transceiver = experiment.block_bytes, experiment.transceiver
    too_small = transceiver.piece_bytes <= transceiver.post_budget_bytes < block_bytes
    if too_small and not _on_device(experiment):
        least = f"one KV block, which is {size_text(block_bytes)}: it holds transceiver.piece"
        yield Problem(("transceiver", "post_budget"), f"must be at least {least}")


def staging_slot(experiment: Experiment) -> Iterator[Problem]:
    """A staging slot must hold two blocks, as it has two halves."""
    block_bytes = experiment.block_bytes
    if experiment.staging and experiment.transceiver.staging_slot_bytes < 2 * block_bytes:
        least = f"two KV blocks, which are {size_text(2 * block_bytes)}: a slot has two halves"
        yield Problem(("transceiver", "staging_slot"), f"must be at least {least}")


def staging_transport(experiment: Experiment) -> Iterator[Problem]:
    """Only our transports move bytes between staging areas; a custom one knows the pool."""
    transceiver = experiment.transceiver
    if transceiver.staging == "on" and transceiver.transport not in TRANSPORT.ours:
        why = f"transceiver.transport is {transceiver.transport}, which knows no staging area"
        yield Problem(("transceiver", "staging"), f"must be off or auto: {why}")
