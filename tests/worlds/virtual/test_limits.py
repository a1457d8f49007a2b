"""Limits of any size beside steps and mail of any size, in random experiments: see `limits`."""

from __future__ import annotations

from typing import Any

import pytest

from adpkv.config import parse
from adpkv.worlds.virtual.run import Simulation
from tests.worlds.virtual.limits import drawn, replay, wrong_with
from tests.worlds.virtual.running import run
from tests.worlds.virtual.seeds import batch, batches


@pytest.mark.parametrize("first", batches(0, 80))
def test_random_limits(first: int) -> None:
    wrong = {}
    for seed in batch(first):
        found = wrong_with(seed)
        if found:
            wrong[replay(seed)] = found
    assert not wrong


def test_no_step_takes_longer_than_everybody_is_patient_for() -> None:
    """The bound comes from the workload; it holds for every batch, and is met by some."""
    shares = []
    for seed in range(0, 90, 3):
        data = drawn(seed)
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

        run(data, prepare=watch)
        bound_ns = parse(data, data["name"]).patience.look_ns
        assert longest <= bound_ns, replay(seed)
        shares.append(longest / bound_ns)
    assert max(shares) > 0.9, "or the bound says nothing"
