"""Receivers that keep what they got: a run that jumps equals one that does not, and every run of
every seed keeps the contract."""

from __future__ import annotations

import pytest

from tests.worlds.virtual.experiments import (
    experiment,
    mortal,
    replay,
    replicated,
    reusing,
    staged,
    surviving,
)
from tests.worlds.virtual.running import examine, run
from tests.worlds.virtual.seeds import batch, batches


@pytest.mark.parametrize("first", batches(0, 160))
def test_random_experiments(first: int) -> None:
    """One kind of experiment for each seed, in turn: with ADP, without, with ranks that fail; every
    third one with staging."""
    wrong = {}
    for seed in batch(first):
        kinds = (
            experiment(seed),
            replicated(seed),
            mortal(experiment(seed)),
            mortal(replicated(seed)),
            surviving(experiment(seed)),
        )
        data = reusing(kinds[seed % len(kinds)])
        found = examine(staged(data) if seed % 3 == 0 else data, eager=seed % 4 == 0)
        if found:
            wrong[replay(seed)] = found
    assert not wrong


def test_they_reuse() -> None:
    """Or the seeds say nothing."""
    transfers = [run(reusing(experiment(seed))).summary["transfers"] for seed in range(5, 12)]
    assert sum(one["bytes_cached"] > 0 for one in transfers) >= 3
    assert any(one["cached"] for one in transfers)
