"""What the ranks of a run wrote down of themselves, in bins of time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from adpkv.core.topology import Kind
from adpkv.reports.run_data import Numbers, RunData
from adpkv.reports.series import Floats, held_until, mean_overlap, rate_between

__all__ = ["blocks_over_time", "of_ranks", "rank_rates", "tokens_over_time", "totals"]

NS_PER_S: Final = 1e9
STATES: Final = ("free", "cached", "active", "in_transfer", "quarantined")
TOKENS: Final = {Kind.CONTEXT: "prompt tokens computed", Kind.GENERATION: "output tokens made"}


def _places(run: RunData) -> dict[int, Numbers]:
    """By rank the places of its samples, in order of time."""
    ranks, at = run.samples["rank"], run.samples["at_ns"]
    order = np.lexsort((at, ranks))
    found, first = np.unique(ranks[order], return_index=True)
    parts = np.split(order, first[1:])
    return {int(rank): part for rank, part in zip(found, parts, strict=True)}


def of_ranks(run: RunData, ranks: Iterable[int], name: str, edges: Floats) -> Floats:
    """A state of these ranks together at the end of each bin."""
    places, total = _places(run), np.zeros(len(edges) - 1)
    at, values = run.samples["at_ns"], run.samples[name]
    for rank in ranks:
        if rank in places:
            own = places[rank]
            total += held_until(at[own], values[own], edges)
    return total


def blocks_over_time(run: RunData, ranks: Sequence[int], edges: Floats) -> dict[str, Floats]:
    """By state the blocks of these ranks."""
    return {state: of_ranks(run, ranks, state, edges) for state in STATES}


def rank_rates(run: RunData, name: str, edges: Floats) -> dict[int, Floats]:
    """By rank how fast a total grows in each bin, per nanosecond."""
    at, values = run.samples["at_ns"], run.samples[name]
    return {rank: rate_between(at[own], values[own], edges) for rank, own in _places(run).items()}


def totals(run: RunData, name: str) -> dict[int, int]:
    """By rank the last reading of a total."""
    values = run.samples[name]
    return {rank: int(values[own[-1]]) for rank, own in _places(run).items()}


def tokens_over_time(run: RunData, edges: Floats) -> dict[str, Floats]:
    """Tokens per second of context and of generation ranks. Without samples those of requests that
    have ended, spread evenly over their prefill and their decode."""
    if run.samples:
        rates = rank_rates(run, "tokens", edges)
        return {
            title: sum(
                (
                    rates[rank]
                    for instance in run.topology.of_kind(kind)
                    for rank in instance.members
                    if rank in rates
                ),
                np.zeros(len(edges) - 1),
            )
            * NS_PER_S
            for kind, title in TOKENS.items()
        }
    found = {}
    requests = run.requests
    began = requests["arrival_ns"] + requests["coordinator_queue_ns"] + requests["context_queue_ns"]
    spans = {
        Kind.CONTEXT: (began, began + requests["prefill_ns"], requests["prompt_tokens"]),
        Kind.GENERATION: (
            requests["ended_ns"] - requests["decode_ns"], requests["ended_ns"], requests["tokens"]
        ),
    }  # fmt: skip
    for kind, (starts, ends, tokens) in spans.items():
        found[TOKENS[kind]] = _spread(starts, ends, tokens, edges)
    return found


def _spread(starts: Numbers, ends: Numbers, tokens: Numbers, edges: Floats) -> Floats:
    """Tokens per second, where each request's are spread evenly over its time."""
    total = np.zeros(len(edges) - 1)
    lasting = (ends > starts) & (tokens > 0)
    speed = tokens[lasting] / (ends[lasting] - starts[lasting])
    # Requests of about the same speed together: exact within a hundredth, and few rounds.
    steps = np.round(np.log(speed) / 0.01).astype(np.int64)
    for step in np.unique(steps):
        own = steps == step
        total += float(speed[own].mean()) * mean_overlap(
            starts[lasting][own], ends[lasting][own], edges
        )
    return total * NS_PER_S
