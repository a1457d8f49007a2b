"""Experiments over the whole schema keep every oracle content; `make fuzz` has more of them."""

from __future__ import annotations

from functools import cache

import pytest

from tests.fuzz.hunting import Hunt, hunted, replay
from tests.worlds.virtual.seeds import batch, batches, first_quarter

SEEDS = 100
"""Of `make test`; `make seeds` has four times as many."""

RARE = 202
"""A seed beyond those, whose run ends unhealthy and with nothing worse."""

whole = cache(lambda seed: hunted("whole", seed))
"""What two tests look at is hunted once."""


@pytest.mark.slow
@pytest.mark.parametrize("first", first_quarter(4 * SEEDS))
def test_any_experiment(first: int) -> None:
    assert wrong("whole", {seed: whole(seed) for seed in batch(first)}) == {}


def test_some_experiments() -> None:
    assert wrong("whole", {seed: whole(seed) for seed in range(1000, 1010)}) == {}


@pytest.mark.parametrize("first", batches(0, 160))
def test_limits_fit_each_other(first: int) -> None:
    assert wrong("limits", {seed: hunted("limits", seed) for seed in batch(first)}) == {}


@pytest.mark.slow
@pytest.mark.parametrize("first", first_quarter(80))
def test_from_the_file_to_what_is_told_of_the_folder(first: int) -> None:
    assert wrong("told", {seed: hunted("told", seed) for seed in batch(first)}) == {}


@pytest.mark.slow
def test_most_are_looked_at_whole_and_end_in_every_way() -> None:
    hunts = [whole(seed) for seed in range(SEEDS)]
    assert sum(bool(hunt.left_out) for hunt in hunts) < SEEDS / 5
    codes = [hunt.code for hunt in hunts]
    assert SEEDS / 2 < codes.count(0) < SEEDS * 0.95
    assert {0, 2, 3, 4, 5, 75} <= {*codes, whole(RARE).code}


def wrong(hunter: str, hunts: dict[int, Hunt]) -> dict[str, list[str]]:
    """What was found, by the command that replays it."""
    return {replay(hunter, seed): hunt.found for seed, hunt in hunts.items() if hunt.found}
