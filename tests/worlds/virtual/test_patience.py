"""Everybody is more patient than the longest step takes, whatever experiment it is of."""

from __future__ import annotations

from random import Random
from typing import Any

from adpkv.config import parse
from adpkv.worlds.virtual.run import Simulation
from tests.fuzz.experiments import Swarm, experiment
from tests.worlds.virtual.running import run

CLEAN = Swarm(given=0.6, extreme=0.02, faults=0)
COSTS = {
    "step_base": ("0s", "1ms", "100ms", "6s"),
    "per_prefill_token": ("0s", "20us", "10ms", "300ms"),
    "per_prefill_pair": ("0s", "2ns", "1ms"),
    "per_sequence": ("0s", "50us", "1s"),
    "per_context_token": ("0s", "20ns", "10ms"),
}
"""Mostly more than the collectives and the loss that everybody waits out as well."""


def test_no_step_takes_longer_than_everybody_is_patient_for() -> None:
    """The bound comes from the workload; it holds for every batch, and is met by some."""
    shares = []
    for seed in range(60):
        data, draw = experiment(seed, CLEAN), Random(seed)
        data["model"] = {key: draw.choice(costs) for key, costs in COSTS.items()}
        data.pop("diagnosis", None)  # what is set there would have to be longer than these
        longest = 0

        def watch(job: Simulation) -> None:
            model: Any = job.programs[0].phases.rank.model
            line = model.line

            def noted(batch: Any) -> tuple[int, int]:
                nonlocal longest
                base, slope = line(batch)
                longest = max(longest, base // model.ticks_per_ns)
                return int(base), int(slope)

            model.line = noted

        try:
            run(data, prepare=watch, most_events=2000)
        except Exception:  # one that is too long has had its steps too
            continue
        finally:
            bound_ns = parse(data, data["name"]).patience.look_ns
            assert longest <= bound_ns, seed
            shares.append(longest / bound_ns)
    assert max(shares) > 0.9, "or the bound says nothing"
