"""Ranks that die in random experiments: the others end the job in order, whatever else goes wrong,
and both ways through quiet time tell the same of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.worlds.virtual.experiments import experiment, mortal, replay, replicated
from tests.worlds.virtual.running import examine, run

SEEDS_PER_TEST = 20


@pytest.mark.parametrize("kind", [experiment, replicated])
@pytest.mark.parametrize("first", range(400, 520, SEEDS_PER_TEST))
def test_random_experiments_with_deaths(first: int, kind: Callable[[int], dict[str, Any]]) -> None:
    wrong = {}
    for seed in range(first, first + SEEDS_PER_TEST):
        found = examine(mortal(kind(seed)), eager=seed % 4 == 0)
        if found:
            wrong[replay(seed)] = found
    assert not wrong


def test_most_of_them_do_die() -> None:
    """One rank or several."""
    dead = [tuple(run(mortal(experiment(seed))).summary["lost"]) for seed in range(400, 430)]
    assert sum(map(bool, dead)) > 15
    assert max(map(len, dead)) > 1
    assert 0 not in {rank for ranks in dead for rank in ranks}
