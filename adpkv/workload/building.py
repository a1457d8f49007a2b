"""From an experiment's `workload` section to the workload itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from adpkv.workload.port import Arrival, Workload

if TYPE_CHECKING:
    from adpkv.config import Experiment
    from adpkv.config.workload import ScriptedConfig
    from adpkv.workload.cancels import Clients
    from adpkv.workload.shapes import Shapes

__all__ = ["SAMPLE", "build"]

SAMPLE = Path(__file__).with_name("sample.jsonl")
"""The packaged trace, which a configuration calls `sample`."""


def build(experiment: Experiment) -> Workload:
    """The workload that `experiment` describes.

    Raises:
        TraceError: the trace cannot be used, or one of its requests could never be served.
    """
    from adpkv.workload.arrivals import ClosedLoop, Poisson

    workload, seed = experiment.workload, experiment.seed
    if workload.kind == "script":
        return _script(workload.requests)
    clients = _clients(experiment)
    if workload.kind == "trace":
        return _trace(experiment, clients)
    shapes = _shapes(experiment)
    if workload.kind == "poisson":
        return Poisson(shapes, clients, seed, rate_per_s=workload.rate, total=workload.requests)
    return ClosedLoop(
        shapes,
        clients,
        users=workload.users,
        think_time_ns=workload.think_time_ns,
        total=workload.requests,
    )


def _clients(experiment: Experiment) -> Clients:
    from adpkv.workload.cancels import Clients

    workload, topology = experiment.workload, experiment.topology
    assert workload.kind != "script"
    return Clients(
        seed=experiment.seed,
        cancel_probability=workload.cancel.probability,
        cancel_after_min_ns=workload.cancel.delay.min_ns,
        cancel_after_max_ns=workload.cancel.delay.max_ns,
        pinned=workload.pinned,
        ranks=min(topology.context.ranks, topology.generation.ranks),
    )


def _shapes(experiment: Experiment) -> Shapes:
    from adpkv.workload.shapes import Shapes

    workload = experiment.workload
    assert workload.kind in ("poisson", "closed_loop")
    prefix = workload.shared_prefix
    return Shapes(
        seed=experiment.seed,
        block_tokens=experiment.kv_cache.block_tokens,
        prompt_min_tokens=workload.prompt_tokens.min,
        prompt_max_tokens=workload.prompt_tokens.max,
        output_min_tokens=workload.output_tokens.min,
        output_max_tokens=workload.output_tokens.max,
        groups=prefix.groups if prefix else 0,
        shared_tokens=prefix.tokens if prefix else 0,
    )


def _script(requests: Sequence[ScriptedConfig]) -> Workload:
    from adpkv.workload.cancels import NO_CANCEL_NS
    from adpkv.workload.script import Script, Scripted

    return Script(
        Scripted(
            Arrival(
                at_ns=asked.at_ns,
                prompt_tokens=asked.prompt_tokens,
                output_tokens=asked.output_tokens,
                cancel_ns=NO_CANCEL_NS if asked.cancel_ns is None else asked.cancel_ns,
                wanted=asked.wanted,
            ),
            asked.times,
            asked.every_ns,
        )
        for asked in requests
    )


def _trace(experiment: Experiment, clients: Clients) -> Workload:
    from adpkv.workload.traces import Limits, Scaling, TraceWorkload, read

    workload, cache = experiment.workload, experiment.kv_cache
    assert workload.kind == "trace"
    limits = Limits(
        block_tokens=cache.block_tokens,
        most_blocks=cache.blocks - 1,
        most_prompt_blocks=experiment.transceiver.max_inflight_blocks_per_peer,
    )
    scaling = Scaling(
        limit=workload.limit,
        speed=workload.speed,
        prompt=workload.prompt_scale,
        output=workload.output_scale,
    )
    path = SAMPLE if workload.path == "sample" else Path(workload.path)
    return TraceWorkload(read(path, limits, scaling), clients, cache.block_tokens)
