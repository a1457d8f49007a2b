"""What a rank of a large group costs, beside one of a small group: it must not cost more.

Two figures for each size. One is of an iteration and a rank that takes part in it, of a steady
load, nothing jumped over: one request per eight generation ranks, which decodes all the time, while
the other seven rest. What an iteration costs as a whole falls to one rank in a group of 8, and is
shared by 512 in one of 4,096. It is measured from when the last of them decodes, so requests and
the start are not in it. The other is of a request as `simulate` makes it, jumping, with as many a
second to each rank, once as many end as begin. A small group serves more to each rank, or there
would be few to measure; blocks are so many that none is taken from the cache, so that a request
has the same to do in each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from time import process_time
from typing import Any

from adpkv.bench.figure import Figure, Target, figure
from adpkv.bench.measuring import without_collector
from adpkv.config import Experiment, parse
from adpkv.worlds.virtual.run import Simulation

__all__ = ["loaded", "scale"]

MOST_GROWTH = 1.0
"""No dearer."""

BLOCK_TOKENS = 64
RANKS_PER_REQUEST = 8
RANKS_PER_CONTEXT_RANK = 64
"""The context instance is small: the generation instance is the one group that is measured."""

MOST_STEPS = 4_000

SPARE_STEPS = 200
"""How many more tokens a request has than steps are measured: all must decode in all of these."""

PER_SECOND = 10
"""How many requests a second come to each rank."""

PER_RANK = 6
"""How many come in all, at least; the second half is measured."""

PROMPT_TOKENS = {"min": 256, "max": 1024}
OUTPUT_TOKENS = {"min": 8, "max": 24}

BLOCKS_PER_REQUEST = 2 * -(-(PROMPT_TOKENS["max"] + OUTPUT_TOKENS["max"]) // BLOCK_TOKENS)
"""Twice what the longest takes, as some ranks get more than others."""


class _MeasuredEnough(Exception):  # noqa: N818  # no error: the rest of the run is of no interest
    pass


def _experiment(ranks: int, steps: int) -> Experiment:
    """A steady load: one request for some generation ranks, each with so many tokens."""
    requests = max(1, ranks // RANKS_PER_REQUEST)
    return _parsed(
        {
            "topology": {
                "context": {"ranks": max(1, ranks // RANKS_PER_CONTEXT_RANK)},
                "generation": {"ranks": ranks},
            },
            "kv_cache": {"block_tokens": BLOCK_TOKENS, "blocks": 16 + steps // BLOCK_TOKENS},
            "workload": {
                "kind": "closed_loop",
                "users": requests,
                "requests": requests,
                "prompt_tokens": {"min": BLOCK_TOKENS, "max": BLOCK_TOKENS},
                "output_tokens": {"min": steps, "max": steps},
            },
        }
    )


def loaded(ranks: int, requests: int) -> Experiment:
    """Requests that come and go, on as many context as generation ranks; all stay cached."""
    blocks = BLOCKS_PER_REQUEST * max(2 * PER_RANK, -(-requests // ranks))
    return _parsed(
        {
            "topology": {"context": {"ranks": ranks}, "generation": {"ranks": ranks}},
            "executor": {"token_budget": 2048, "max_batch_size": 64},
            "kv_cache": {"block_tokens": BLOCK_TOKENS, "blocks": blocks},
            "model": {"step_base": "10ms", "per_prefill_token": "10us"},
            "workload": {
                "kind": "poisson",
                "rate": PER_SECOND * ranks,
                "requests": requests,
                "prompt_tokens": PROMPT_TOKENS,
                "output_tokens": OUTPUT_TOKENS,
            },
        }
    )


def _parsed(data: dict[str, Any]) -> Experiment:
    return parse({"name": "scale", "seed": 1, **data}, "bench scale")


def _us_per_rank_iteration(ranks: int, steps: int) -> float:
    job = Simulation(_experiment(ranks, steps + SPARE_STEPS), jump=False)
    requests, began = job.coordinator.total, -1

    def iterations() -> int:
        """How many there were since all requests decode; -1 before."""
        nonlocal began
        group = job.world.groups[-1]
        if began < 0 and group.offers.tokens == requests:
            began = group.iteration
        return group.iteration - began if began >= 0 else -1

    return _us_each(job, iterations, 0, steps) / requests


def _us_per_request(ranks: int, requests: int) -> float:
    job = Simulation(loaded(ranks, requests))
    return _us_each(job, lambda: job.coordinator.submitted, requests // 2, requests)


def _us_each(job: Simulation, count: Callable[[], int], first: int, last: int) -> float:
    """Microseconds of processor time for each of what a job counts, from `first` to `last`."""
    began_s = found_us = 0.0
    began = -1

    def watched() -> None:
        nonlocal began, began_s, found_us
        now = count()
        if now < first:
            return
        if began < 0:
            began, began_s = now, process_time()
        elif now >= last:
            found_us = (process_time() - began_s) * 1e6 / (now - began)
            raise _MeasuredEnough

    with without_collector():
        try:
            job.run(watched)
        except _MeasuredEnough:
            return found_us
    raise AssertionError("the load has ended before it was measured")


def scale(
    *,
    sizes: Sequence[int] = (8, 64, 512, 1024, 4096),
    rank_iterations: int = 400_000,
    least_requests: int = 2_000,
    repetitions: int = 3,
) -> list[Figure]:
    """Two figures per size; those of the smallest are the others' reference. Sizes take turns."""
    iteration: dict[int, list[float]] = {ranks: [] for ranks in sizes}
    request: dict[int, list[float]] = {ranks: [] for ranks in sizes}
    for _ in range(repetitions):
        for ranks in sizes:
            steps = min(MOST_STEPS, max(2, rank_iterations // ranks))
            iteration[ranks].append(_us_per_rank_iteration(ranks, steps))
            requests = max(least_requests, PER_RANK * ranks)
            request[ranks].append(_us_per_request(ranks, requests))
    return [
        *_figures(
            "scale",
            iteration,
            "µs/rank/iter",
            f"one group of {{:,}}, nothing jumped over; of a rank that takes part, "
            f"one in {RANKS_PER_REQUEST}",
        ),
        *_figures("load", request, "µs/request", "two groups of {:,}, none taken from the cache"),
    ]


def _figures(name: str, took: dict[int, list[float]], unit: str, note: str) -> list[Figure]:
    smallest = next(iter(took))
    reference = median(took[smallest])
    found = []
    before, before_us = smallest, reference
    for ranks, all_us in took.items():
        us = median(all_us)
        more = "" if ranks == smallest else f"; {us / before_us:.2f} of {before:,} ranks"
        found.append(
            figure(
                f"{name}, {ranks:,} ranks",
                us,
                unit,
                reference=reference if ranks != smallest else None,
                against=f"{smallest} ranks" if ranks != smallest else "",
                target=Target("ratio", "<=", MOST_GROWTH) if ranks != smallest else None,
                note=note.format(ranks) + more,
            )
        )
        before, before_us = ranks, us
    return found
