"""Time per rank and iteration as groups grow: it must not, because `agree` runs once per
collective.

The real rank program under a steady load: one request per eight generation ranks, all decoding for
the whole run, nothing jumped over. Each size makes about as many rank-iterations.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

from adpkv.bench.figure import Figure, Target, figure
from adpkv.bench.measuring import seconds
from adpkv.config import Experiment, parse
from adpkv.core.report import RankReport
from adpkv.worlds.virtual.run import Simulation

__all__ = ["scale"]

MOST_GROWTH = 1.25
"""`does not grow`, with room for caches that thousands of ranks no longer fit into."""

BLOCK_TOKENS = 64
RANKS_PER_REQUEST = 8
RANKS_PER_CONTEXT_RANK = 64
"""The context instance is small: the generation instance is the one group that is measured."""

MOST_STEPS = 4_000


def _experiment(ranks: int, steps: int) -> Experiment:
    requests = max(1, ranks // RANKS_PER_REQUEST)
    data: dict[str, Any] = {
        "name": "scale",
        "seed": 1,
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
    return parse(data, "bench scale")


def _us_per_rank_iteration(ranks: int, steps: int) -> float:
    job = Simulation(_experiment(ranks, steps), jump=False)
    reports: list[RankReport] = []
    took_s = seconds(lambda: reports.extend(job.run()))
    return took_s * 1e6 / sum(report.iterations for report in reports)


def scale(
    *,
    sizes: Sequence[int] = (8, 64, 1024, 4096),
    rank_iterations: int = 400_000,
    repetitions: int = 3,
) -> list[Figure]:
    """One figure per size; the smallest is the others' reference. Sizes take turns."""
    took_us: dict[int, list[float]] = {ranks: [] for ranks in sizes}
    for _ in range(repetitions):
        for ranks in sizes:
            steps = min(MOST_STEPS, max(2, rank_iterations // ranks))
            took_us[ranks].append(_us_per_rank_iteration(ranks, steps))
    smallest = median(took_us[sizes[0]])
    return [
        figure(
            f"scale, {ranks:,} ranks",
            median(took_us[ranks]),
            "µs/rank/iter",
            reference=smallest if ranks != sizes[0] else None,
            against=f"{sizes[0]} ranks" if ranks != sizes[0] else "",
            target=Target("ratio", "<=", MOST_GROWTH) if ranks != sizes[0] else None,
            note=f"one group of {ranks:,}",
        )
        for ranks in sizes
    ]
