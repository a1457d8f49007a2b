"""Estimates how much memory a simulation takes, at least and at most.

`least_bytes` is what every run of the experiment needs: its ranks, the requests that come all at
once, the samples of finished requests, and the instants of faults. A simulation for which this does
not fit is refused. `most_bytes` assumes that all requests wait at the same time, and that every
block is in use. The truth between the two depends on how fast the servers are, which is what one
simulates to learn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from adpkv.config.fault_kinds import KINDS
from adpkv.config.workload import ClosedLoopConfig, PoissonConfig, ScriptConfig
from adpkv.core.topology import Kind
from adpkv.workload.traces import TraceWorkload
from adpkv.worlds.memory_check import available_bytes, refuse_what_cannot_fit, size_text

if TYPE_CHECKING:
    from adpkv.config import Experiment
    from adpkv.workload import Workload

__all__ = ["check_memory", "least_bytes", "memory_text", "most_bytes"]

PROGRAM_BYTES: Final = 52_000_000
"""The interpreter with everything imported: measured, 39 MB, and some 8 more once it has run."""

RANK_BYTES: Final = 13_000
"""A rank that has served nothing: measured, 54.2 MB for 4,096 of them."""

SERVED_RANK_BYTES: Final = 24_000
"""A rank that has served, and what the faults on it take: measured, 21.9 kB (2,048 ranks, one
request each), 24.2 kB with a fault on each link."""

INSTANCE_BYTES: Final = 3_000
"""An instance without its ranks: where each has one rank, a rank takes 23.3 kB in all."""

OPEN_BYTES: Final = 850
"""A request that has come and has no answer: measured, 259 MB for 300,000 of them."""

WAITING_BYTES: Final = 1_800
"""The same where no rank has room: measured, 12.9 MB for 8,000 of them."""

NAME_BYTES: Final = 44
"""A block of such a request whose prompt has content: measured, 42 bytes."""

BLOCK_BYTES: Final = 32
"""A block of a pool that is in use: its owner, and its place in a lease."""

CACHED_BLOCK_BYTES: Final = 60
"""A block of a pool with prefix caching, beside its run: measured, 50 bytes in runs of 250."""

RUN_BYTES: Final = 400
"""A run of such blocks: measured, 336 to 456 bytes for one of one block."""

CONTENT_BYTES: Final = 120
"""What is in a block, which the ledger knows with staging: measured, 120 bytes for an entry."""

SAMPLES_BYTES: Final = 120
"""A finished request: eight bytes in each of fifteen columns (`observe.requests`)."""

INSTANT_BYTES: Final = 350
"""One hit of a scheduled fault, drawn before the run begins: measured, 15 MB for 42,000."""


def check_memory(experiment: Experiment, available: int | None = None) -> None:
    """Refuse a simulation that needs more than `available` bytes; None: more than this machine has.

    Raises:
        UsageError: it does not fit; the message has what it takes, and what is free.
    """
    refuse_what_cannot_fit(
        f"{experiment.name}: the simulation",
        least_bytes(experiment),
        "fewer ranks or requests fit",
        available,
    )


def memory_text(experiment: Experiment, workload: Workload, available: int | None = None) -> str:
    """What a simulation takes, as a sentence; with what is free if it may not be enough."""
    most = sum(most_bytes(experiment, workload).values())
    least = min(sum(least_bytes(experiment).values()) + PROGRAM_BYTES, most)
    room = available_bytes() if available is None else available
    free = f"; {size_text(room)} are free" if room is not None and most > room else ""
    return f"a simulation takes {size_text(least)} to {size_text(most)} of memory{free}"


def least_bytes(experiment: Experiment) -> dict[str, int]:
    """What every run needs, in bytes by purpose."""
    workload = experiment.workload
    requests = at_once = 0
    match workload:
        case ScriptConfig():
            requests = sum(one.times for one in workload.requests)
            at_once = max((one.times for one in workload.requests if not one.every_ns), default=0)
        case ClosedLoopConfig():
            requests, at_once = workload.requests, min(workload.users, workload.requests)
        case PoissonConfig():
            requests = workload.requests
    ranks = experiment.topology.ranks
    return {
        f"{ranks:,} ranks": ranks * RANK_BYTES,
        f"{at_once:,} requests at once": at_once * OPEN_BYTES,
        f"the samples of {requests:,} requests": requests * SAMPLES_BYTES,
        "the instants of faults": _instants(experiment) * INSTANT_BYTES,
    }


def most_bytes(experiment: Experiment, workload: Workload) -> dict[str, int]:
    """What a run may need at most, in bytes by purpose; `workload` is the experiment's, built."""
    topology, asked = experiment.topology, _asked(experiment, workload)
    ranks, instances = topology.ranks, topology.context.instances + topology.generation.instances
    waits = asked.at_once * WAITING_BYTES
    if asked.have_content:
        waits += asked.blocks * asked.at_once // max(asked.requests, 1) * NAME_BYTES
    return {
        "the program": PROGRAM_BYTES,
        f"{ranks:,} ranks": ranks * SERVED_RANK_BYTES + instances * INSTANCE_BYTES,
        f"{asked.at_once:,} requests at once": waits,
        "KV blocks": _block_bytes(experiment, asked),
        f"the samples of {asked.requests:,} requests": asked.requests * SAMPLES_BYTES,
        "the trace": asked.trace_bytes,
        "the instants of faults": _instants(experiment) * INSTANT_BYTES,
    }


class _Asked(NamedTuple):
    requests: int
    at_once: int
    """The most requests that can be open at the same time."""
    blocks: int = 0
    """The blocks of all requests together, with all tokens to come."""
    have_content: bool = True
    """Whether prompts have content, by which equal prefixes are recognized; a script's have none
    unless they are given a `prefix`."""
    trace_bytes: int = 0


def _asked(experiment: Experiment, workload: Workload) -> _Asked:
    config, total = experiment.workload, workload.total
    size = experiment.kv_cache.block_tokens
    if isinstance(workload, TraceWorkload):
        # Each request's last block is full only in part.
        return _Asked(total, total, workload.tokens // size + total, trace_bytes=workload.nbytes)
    if isinstance(config, ScriptConfig):
        blocks = sum(
            one.times * -(-(one.prompt_tokens + one.output_tokens) // size)
            for one in config.requests
        )
        alike = any(one.prefix is not None for one in config.requests)
        return _Asked(total, total, blocks, have_content=alike)
    if isinstance(config, ClosedLoopConfig | PoissonConfig):
        at_once = min(config.users, total) if isinstance(config, ClosedLoopConfig) else total
        longest = config.prompt_tokens.max + config.output_tokens.max
        return _Asked(total, at_once, total * -(-longest // size))
    return _Asked(total, total)


def _block_bytes(experiment: Experiment, asked: _Asked) -> int:
    """What the pools' blocks take at most. Some pools also keep cached prefixes."""
    topology, cache = experiment.topology, experiment.kv_cache
    found = 0
    instances = topology.build().instances
    for kind in Kind:
        pools = (i.ranks * experiment.blocks_of(i.index) for i in instances if i.kind is kind)
        blocks = min(sum(pools), asked.blocks)
        caches = cache.reused_by(kind) and asked.have_content
        if caches:
            # Of a long prompt the pool may keep a single block, the rest being evicted or shared:
            # so what a prompt has says nothing about runs, but there is hardly more than one of it.
            found += blocks * CACHED_BLOCK_BYTES + min(blocks, asked.requests) * RUN_BYTES
        else:
            found += blocks * BLOCK_BYTES
        if experiment.staging is not None:
            found += blocks * CONTENT_BYTES
    return found


def _instants(experiment: Experiment) -> int:
    ranks = experiment.topology.ranks
    return sum(
        int((fault.count or 1) * fault.probability) * len(fault.ranks or range(ranks))
        for fault in experiment.faults
        if KINDS[fault.kind].at_an_instant
    )
