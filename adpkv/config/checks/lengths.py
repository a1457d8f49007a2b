"""Checks of the workload's lengths against the memory that must hold them.

Each function yields the problems it finds; `relations` lists what it reads. The requests of a
script are checked one by one in `scripts`, those of a trace when the trace is read.
"""

from __future__ import annotations

from collections.abc import Iterator

from adpkv.config.experiment import Experiment
from adpkv.config.problem import Problem
from adpkv.config.units import duration_text
from adpkv.config.workload import (
    SAMPLE,
    ClosedLoopConfig,
    CustomWorkloadConfig,
    DelayRange,
    OutputRange,
    PoissonConfig,
    ScriptConfig,
    TokenRange,
    TraceConfig,
)
from adpkv.core.content import blocks_for
from adpkv.counting import counted

__all__ = [
    "cancel_delay",
    "output_range",
    "peer_blocks",
    "pool",
    "prompt_range",
    "sample_ids",
    "shared_prefix",
    "trace_blocks",
]


def prompt_range(experiment: Experiment) -> Iterator[Problem]:
    """The range of prompt lengths must not end before it begins."""
    workload = experiment.workload
    if isinstance(workload, PoissonConfig | ClosedLoopConfig):
        yield from _range("prompt_tokens", workload.prompt_tokens)


def output_range(experiment: Experiment) -> Iterator[Problem]:
    """The range of output lengths must not end before it begins."""
    workload = experiment.workload
    if isinstance(workload, PoissonConfig | ClosedLoopConfig):
        yield from _range("output_tokens", workload.output_tokens)


def cancel_delay(experiment: Experiment) -> Iterator[Problem]:
    """The range of cancel delays must not end before it begins."""
    if isinstance(experiment.workload, ScriptConfig | CustomWorkloadConfig):
        return
    delay: DelayRange = experiment.workload.cancel.delay
    if delay.min_ns > delay.max_ns:
        most = f"delay.max, which is {duration_text(delay.max_ns)}"
        yield Problem(("workload", "cancel", "delay", "min"), f"must be at most {most}")


def shared_prefix(experiment: Experiment) -> Iterator[Problem]:
    """The shared prefix must fit into the longest prompt."""
    workload = experiment.workload
    if isinstance(workload, PoissonConfig | ClosedLoopConfig) and workload.shared_prefix:
        longest = workload.prompt_tokens.max
        if workload.shared_prefix.tokens > longest:
            path = ("workload", "shared_prefix", "tokens")
            yield Problem(path, f"must be at most prompt_tokens.max, which is {longest}")


def pool(experiment: Experiment) -> Iterator[Problem]:
    """A rank's pool must hold the longest request and the dummy."""
    workload, cache = experiment.workload, experiment.kv_cache
    if isinstance(workload, PoissonConfig | ClosedLoopConfig):
        tokens = workload.prompt_tokens.max + workload.output_tokens.max
        needed = blocks_for(tokens, cache.block_tokens)
        blocks = experiment.least_blocks
        if needed > blocks - 1:
            small = next(
                (i for i, one in enumerate(experiment.topology.servers) if one.blocks == blocks), 0
            )
            alike = blocks == cache.blocks
            yield Problem(
                ("kv_cache", "blocks") if alike else ("topology", "servers", small, "blocks"),
                f"leaves {counted(blocks - 1, 'block')} beside the dummy's, but the longest "
                f"request of the workload needs {needed} ({counted(tokens, 'token')} in blocks of "
                f"{cache.block_tokens})",
            )


def peer_blocks(experiment: Experiment) -> Iterator[Problem]:
    """The limit of blocks in flight with one peer must allow the longest prompt."""
    workload, cache = experiment.workload, experiment.kv_cache
    if isinstance(workload, PoissonConfig | ClosedLoopConfig):
        prompt = workload.prompt_tokens.max
        needed = blocks_for(prompt, cache.block_tokens)
        if needed > experiment.most_peer_blocks:
            yield Problem(
                ("transceiver", "max_inflight_blocks_per_peer"),
                f"must hold the longest prompt of the workload, which is {counted(needed, 'block')}"
                f" ({counted(prompt, 'token')} in blocks of {cache.block_tokens})",
            )


def trace_blocks(experiment: Experiment) -> Iterator[Problem]:
    """The tokens of a trace's hash id must be whole blocks, or a block whole hash ids. Only the
    packaged trace's are known here; those of a file are checked when it is read."""
    tokens, workload = experiment.kv_cache.block_tokens, experiment.workload
    if not isinstance(workload, TraceConfig) or workload.path != SAMPLE:
        return
    from adpkv.traces.mooncake import TRACE_BLOCK_TOKENS

    if TRACE_BLOCK_TOKENS % tokens and tokens % TRACE_BLOCK_TOKENS:
        yield Problem(
            ("kv_cache", "block_tokens"),
            f"must divide {TRACE_BLOCK_TOKENS} or be a multiple of it: that is how many tokens "
            "one hash id of a trace stands for",
        )


def sample_ids(experiment: Experiment) -> Iterator[Problem]:
    """The packaged trace's ids are of 512 tokens. Those of a file are checked when it is read."""
    workload = experiment.workload
    if not isinstance(workload, TraceConfig) or workload.path != SAMPLE:
        return
    from adpkv.traces.mooncake import TRACE_BLOCK_TOKENS

    if workload.hash_tokens not in (None, TRACE_BLOCK_TOKENS):
        yield Problem(("workload", "hash_tokens"), f"is {TRACE_BLOCK_TOKENS} in the packaged trace")


def _range(key: str, tokens: TokenRange | OutputRange) -> Iterator[Problem]:
    if tokens.min > tokens.max:
        path = ("workload", key, "min")
        yield Problem(path, f"must be at most {key}.max, which is {tokens.max}")
