"""Checks of a script's requests against the ranks and the memory that must serve them.

Each function yields the problems of each request, so that one bad request does not hide the next;
`relations` lists what else it reads.
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
    """A script must have at least one request."""
    workload = experiment.workload
    if isinstance(workload, ScriptConfig) and not workload.requests:
        yield Problem(("workload", "requests"), "must not be empty")


def script_wanted(experiment: Experiment) -> Iterator[Problem]:
    """A client may insist only on a rank index that every instance has."""
    ranks = experiment.topology.least_ranks
    for i, asked in _requests(experiment):
        if asked.wanted is not None and asked.wanted >= ranks:
            yield _problem(i, "wanted", f"is no rank that every instance has: they have {ranks}")


def script_pool(experiment: Experiment) -> Iterator[Problem]:
    """A rank's pool must hold each request and the dummy, except requests marked `invalid`."""
    cache, blocks = experiment.kv_cache, experiment.least_blocks
    for i, asked in _requests(experiment):
        tokens = asked.prompt_tokens + asked.output_tokens
        needed = blocks_for(tokens, cache.block_tokens)
        if needed > blocks - 1 and not asked.invalid:
            yield Problem(
                ("workload", "requests", i),
                f"needs {needed} blocks ({tokens} tokens in blocks of {cache.block_tokens}), but "
                f"kv_cache.blocks leaves {blocks - 1} beside the dummy's",
            )


def script_peer_blocks(experiment: Experiment) -> Iterator[Problem]:
    """The limit of blocks in flight with one peer must allow each prompt, except of requests marked
    `invalid`."""
    most = experiment.most_peer_blocks
    for i, asked in _requests(experiment):
        needed = blocks_for(asked.prompt_tokens, experiment.kv_cache.block_tokens)
        if needed > most and not asked.invalid:
            text = f"makes a transfer of {needed} blocks; max_inflight_blocks_per_peer is {most}"
            yield _problem(i, "prompt_tokens", text)


def script_times(experiment: Experiment) -> Iterator[Problem]:
    """`every` has a meaning only with several requests."""
    for i, asked in _requests(experiment):
        if asked.every_ns and asked.times == 1:
            yield _problem(i, "every", "means nothing for one request: give times, or leave it out")


def _requests(experiment: Experiment) -> Iterator[tuple[int, ScriptedConfig]]:
    workload = experiment.workload
    if isinstance(workload, ScriptConfig):
        yield from enumerate(workload.requests)


def _problem(number: int, key: str, text: str) -> Problem:
    return Problem(("workload", "requests", number, key), text)
