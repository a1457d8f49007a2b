"""Relations of a script's requests to the ranks and the memory that must serve them.

Each function yields what is wrong, request by request, so that one bad request does not hide the
next; `relations` says what it reads besides.
"""

from __future__ import annotations

from collections.abc import Iterator

from adpkv.config.experiment import Experiment
from adpkv.config.problem import Problem
from adpkv.config.workload import ScriptConfig, ScriptedConfig
from adpkv.core.content import blocks_for

__all__ = [
    "script_given",
    "script_peer_blocks",
    "script_pool",
    "script_times",
    "script_wanted",
]


def script_given(experiment: Experiment) -> Iterator[Problem]:
    """A script asks for something."""
    workload = experiment.workload
    if isinstance(workload, ScriptConfig) and not workload.requests:
        yield Problem(("workload", "requests"), "must not be empty")


def script_wanted(experiment: Experiment) -> Iterator[Problem]:
    """A client insists on a rank that every instance has."""
    topology = experiment.topology
    ranks = min(topology.context.ranks, topology.generation.ranks)
    for i, asked in _requests(experiment):
        if asked.wanted is not None and asked.wanted >= ranks:
            yield _problem(i, "wanted", f"is no rank that every instance has: they have {ranks}")


def script_pool(experiment: Experiment) -> Iterator[Problem]:
    """A rank can hold each request beside the dummy, but for those that are meant to be refused."""
    cache = experiment.kv_cache
    for i, asked in _requests(experiment):
        tokens = asked.prompt_tokens + asked.output_tokens
        needed = blocks_for(tokens, cache.block_tokens)
        if needed > cache.blocks - 1 and not asked.invalid:
            yield Problem(
                ("workload", "requests", i),
                f"needs {needed} blocks ({tokens} tokens in blocks of {cache.block_tokens}), but "
                f"kv_cache.blocks leaves {cache.blocks - 1} beside the dummy's",
            )


def script_peer_blocks(experiment: Experiment) -> Iterator[Problem]:
    """Each prompt can be in flight with one peer, but for those that are meant to be refused."""
    most = experiment.transceiver.max_inflight_blocks_per_peer
    for i, asked in _requests(experiment):
        needed = blocks_for(asked.prompt_tokens, experiment.kv_cache.block_tokens)
        if needed > most and not asked.invalid:
            text = f"makes a transfer of {needed} blocks; max_inflight_blocks_per_peer is {most}"
            yield _problem(i, "prompt_tokens", text)


def script_times(experiment: Experiment) -> Iterator[Problem]:
    """A time between requests needs several of them."""
    for i, asked in _requests(experiment):
        if asked.every_ns and asked.times == 1:
            yield _problem(i, "every", "means nothing for one request: give times, or leave it out")


def _requests(experiment: Experiment) -> Iterator[tuple[int, ScriptedConfig]]:
    workload = experiment.workload
    if isinstance(workload, ScriptConfig):
        yield from enumerate(workload.requests)


def _problem(number: int, key: str, text: str) -> Problem:
    return Problem(("workload", "requests", number, key), text)
