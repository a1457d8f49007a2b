"""The executor under mpirun: what an iteration costs a rank, and what its collectives cost.

A real job (mailbox, transport, memory, coordinator) whose forward steps take no time. A rank's own
time is its processor time between collectives, `agree` and the step's own part included. All other
time of an iteration counts as the collectives'. With more ranks than cores that is mostly waiting
until the others had a core, and for the slowest rank; so the reference replays each rank's recorded
own time, iteration by iteration, between bare `Allgather` calls, in the same processes, in turns
with the iterations and on the same stopwatch. One call back to back is shown as well.
"""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from adpkv.bench.children import run_ranks
from adpkv.bench.executor_ranks import Asked, Regime
from adpkv.bench.figure import Figure, Target, figure
from adpkv.config import dump, parse
from adpkv.errors import AdpkvError
from adpkv.worlds.mpi.oversubscription import cores

__all__ = ["executor"]

MOST_OWN_US = 120.0
MOST_RATIO = 1.3
"""Issue 2, Speed; of collectives without load still."""

MOST_OF_ONE = {True: 0.6, False: 0.7}
MOST_LOADED = {True: 0.8, False: 0.9}
"""Issue 13: one collective back to back, and those of a loaded iteration; by whether each rank has
a core of its own."""

BOUND_S = 240.0
BLOCK_TOKENS = 64
PROMPT_TOKENS = 512
PREFILL_STEPS = 32
"""Steps per prompt, so that a context rank has nearly all its requests for some hundred steps."""

NEARLY_ALL = 0.875
"""Of the requests of a rank must be active for an iteration to count as loaded: a context rank's
grow fewer with each prompt that is done."""


def _experiment(group_ranks: int, active: int, steps: int) -> dict[str, Any]:
    users = group_ranks * active
    return {
        "name": "bench-executor",
        "seed": 1,
        "topology": {
            "context": {"ranks": group_ranks},
            "generation": {"ranks": group_ranks},
            "collectives": "auto",
        },
        "executor": {
            "token_budget": PROMPT_TOKENS // PREFILL_STEPS,
            "max_batch_size": active,
            "max_requests_per_rank": 2 * active,
        },
        "kv_cache": {
            "block_tokens": BLOCK_TOKENS,
            "blocks": 2 + active * (1 + (PROMPT_TOKENS + steps) // BLOCK_TOKENS),
        },
        "model": {
            "layers": 1, "kv_heads": 1, "head_dim": 4, "dtype_bytes": 2,
            "step_base": "0s", "per_prefill_token": "0s", "per_prefill_pair": "0s",
            "per_sequence": "0s", "per_context_token": "0s",
        },
        "workload": {
            "kind": "closed_loop",
            "users": users,
            "requests": users,
            "prompt_tokens": {"min": PROMPT_TOKENS, "max": PROMPT_TOKENS},
            "output_tokens": {"min": steps, "max": steps},
        },
    }  # fmt: skip


def executor(
    *,
    group_ranks: int = 4,
    active: int = 64,
    steps: int = 6_000,
    idle_iterations: int = 3_000,
) -> list[Figure]:
    """One context and one generation instance of `group_ranks`; first idle, then with `active`
    requests on each rank, which generate `steps` tokens each."""
    with tempfile.TemporaryDirectory(prefix="adpkv-bench-") as folder:
        file = Path(folder) / "experiment.yaml"
        data = _experiment(group_ranks, active, steps)
        file.write_text(dump(parse(data, "bench executor")))
        asked = Asked(
            experiment=str(file),
            folder=folder,
            idle_iterations=idle_iterations,
            least_active=max(1, math.floor(NEARLY_ALL * active)),
        )
        said = run_ranks(
            "adpkv.bench.executor_ranks",
            2 * group_ranks,
            [msgspec.json.encode(asked).decode()],
            bound_s=BOUND_S,
        )
    regimes = msgspec.convert(said, dict[str, Regime])
    found: list[Figure] = []
    for name, about in (("idle", "idle"), ("loaded", f"{active} active requests per rank")):
        found += _figures(name, about, regimes[name], roomy=2 * group_ranks <= cores())
    return found


def _figures(name: str, about: str, regime: Regime, *, roomy: bool) -> list[Figure]:
    """The worst rank's own time; the collectives as medians over the ranks. `roomy`: each rank has
    a core of its own."""
    if not regime.own_us:
        raise AdpkvError(f"bench executor: no group was {about} on all its ranks at once")
    most_ratio = MOST_LOADED[roomy] if name == "loaded" else MOST_RATIO
    met_us, bare_us, operations = map(median, (regime.met_us, regime.bare_us, regime.operations))
    return [
        figure(
            f"executor, {name}",
            max(regime.own_us),
            "µs/iter",
            target=Target("value", "<=", MOST_OWN_US),
            note=f"{len(regime.own_us)} ranks, {about}; processor time of the worst rank, "
            f"{median(regime.own_us):.1f} of the median one, "
            f"{median(regime.own_wall_us):.1f} by the clock on the wall; "
            f"{int(min(regime.iterations)):,} iterations or more",
        ),
        figure(
            f"collectives, {name}",
            met_us,
            "µs/iter",
            reference=bare_us,
            against="bare Allgather, same work replayed",
            target=Target("ratio", "<=", most_ratio),
            note=f"{operations:g} collectives and all other time that is not own; "
            f"{(met_us - bare_us) / operations:.1f} µs a collective more",
        ),
        figure(
            f"one collective, {name}",
            median(regime.slotted_us),
            "µs/call",
            reference=median(regime.plain_us),
            against="bare Allgather",
            target=Target("ratio", "<=", MOST_OF_ONE[roomy]),
            note="back to back, nothing between",
        ),
    ]
