"""Makes the workload from an experiment's `workload` section."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from adpkv import plugins
from adpkv.errors import BadCallError
from adpkv.workload.port import Arrival, Workload

if TYPE_CHECKING:
    from adpkv.config import Experiment
    from adpkv.config.workload import (
        ClosedLoopConfig,
        PoissonConfig,
        ScriptedConfig,
        TraceConfig,
    )
    from adpkv.workload.cancels import Clients
    from adpkv.workload.shapes import Shapes

__all__ = ["SAMPLE", "build"]

SAMPLE = Path(__file__).with_name("sample.jsonl")
"""The trace in the package, called `sample` in an experiment."""


def build(experiment: Experiment) -> Workload:
    """Make the workload that `experiment` describes.

    Raises:
        BadCallError: `experiment` is none.
        TraceError: the trace cannot be used, or one of its requests could never be served.
        UsageError: it is a custom workload, and its factory cannot be imported or called.
    """
    from adpkv.config.workload import CustomWorkloadConfig
    from adpkv.workload.deadlines import Hurried
    from adpkv.workload.stops import Stopping

    if not hasattr(experiment, "workload"):
        raise BadCallError(f"build: {experiment!r:.80} is no experiment, as adpkv.load gives it")
    workload, found = experiment.workload, _without_stops(experiment)
    if isinstance(workload, CustomWorkloadConfig):
        return found
    if workload.stop.probability:
        found = Stopping(found, experiment.seed, workload.stop.probability)
    if workload.deadline_ns is not None:
        found = Hurried(found, workload.deadline_ns)
    return found


def _without_stops(experiment: Experiment) -> Workload:
    """The workload in which each output has all of its tokens; or a custom one, as it is."""
    from adpkv.config.workload import ClosedLoopConfig, PoissonConfig, ScriptConfig, TraceConfig
    from adpkv.workload.arrivals import ClosedLoop, Poisson

    workload = experiment.workload
    match workload:
        case ScriptConfig():
            return _script(workload.requests, experiment.kv_cache.block_tokens)
        case TraceConfig():
            return _trace(experiment, workload)
        case PoissonConfig():
            return Poisson(
                _shapes(experiment, workload),
                _clients(experiment, workload),
                experiment.seed,
                rate_per_s=workload.rate,
                total=workload.requests,
            )
        case ClosedLoopConfig():
            return ClosedLoop(
                _shapes(experiment, workload),
                _clients(experiment, workload),
                users=workload.users,
                think_time_ns=workload.think_time_ns,
                total=workload.requests,
            )
    from adpkv.workload.own import OwnWorkload

    slot, kind = plugins.WORKLOAD, workload.kind
    made = plugins.made(slot, kind, workload.parameters, experiment, Workload)
    return OwnWorkload(f"{slot.key}: {kind}", made)


def _clients(
    experiment: Experiment, workload: PoissonConfig | ClosedLoopConfig | TraceConfig
) -> Clients:
    from adpkv.workload.cancels import Clients

    return Clients(
        seed=experiment.seed,
        cancel_probability=workload.cancel.probability,
        cancel_after_min_ns=workload.cancel.delay.min_ns,
        cancel_after_max_ns=workload.cancel.delay.max_ns,
        pinned=workload.pinned,
        ranks=experiment.topology.least_ranks,
    )


def _shapes(experiment: Experiment, workload: PoissonConfig | ClosedLoopConfig) -> Shapes:
    from adpkv.workload.shapes import Shapes

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


def _script(requests: Sequence[ScriptedConfig], block_tokens: int) -> Workload:
    from adpkv.workload.cancels import NO_CANCEL_NS
    from adpkv.workload.script import Script, Scripted
    from adpkv.workload.shapes import shared_hashes

    def hashes(asked: ScriptedConfig) -> tuple[int, ...]:
        if asked.prefix is None:
            return ()
        return tuple(shared_hashes(asked.prefix, asked.prompt_tokens // block_tokens))

    return Script(
        Scripted(
            # By position: by keyword it takes four times as long.
            Arrival(
                asked.at_ns,
                asked.prompt_tokens,
                asked.output_tokens,
                hashes(asked),
                NO_CANCEL_NS if asked.cancel_ns is None else asked.cancel_ns,
                asked.wanted,
                -1,
                -1 if asked.deadline_ns is None else asked.deadline_ns,
                asked.id or "",
            ),
            asked.times,
            asked.every_ns,
        )
        for asked in requests
    )


def _trace(experiment: Experiment, workload: TraceConfig) -> Workload:
    from adpkv.traces.row import Reading
    from adpkv.workload.reading import Limits, Scaling, Sessions, read
    from adpkv.workload.traces import SessionWorkload, TraceWorkload

    cache, clients = experiment.kv_cache, _clients(experiment, workload)
    limits = Limits(
        block_tokens=cache.block_tokens,
        most_blocks=experiment.least_blocks - 1,
        most_prompt_blocks=experiment.most_peer_blocks,
    )
    scaling = Scaling(
        limit=workload.limit,
        speed=workload.speed,
        prompt=workload.prompt_scale,
        output=workload.output_scale,
    )
    sessions = Sessions(
        mode=workload.sessions,
        think_ns=workload.think_time_ns,
        rate_per_s=workload.rate,
        seed=experiment.seed,
    )
    reading = Reading(workload.chars_per_token, workload.hash_tokens or 0)
    path = SAMPLE if workload.path == "sample" else Path(workload.path)
    trace = read(path, limits, scaling, sessions=sessions, reading=reading)
    kind = SessionWorkload if trace.has_sessions else TraceWorkload
    return kind(trace, clients, cache.block_tokens)
