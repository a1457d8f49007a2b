"""Experiments over the whole schema keep every oracle content; `make fuzz` has more of them."""

from __future__ import annotations

import pytest

from tests.fuzz.hunting import hunted, replay
from tests.worlds.virtual.seeds import SEEDS_PER_TEST, batch


@pytest.mark.parametrize("first", range(0, 400, SEEDS_PER_TEST))
@pytest.mark.slow
def test_any_experiment(first: int) -> None:
    assert found("whole", batch(first)) == {}


def test_some_experiments() -> None:
    assert found("whole", range(1000, 1010)) == {}


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 40, SEEDS_PER_TEST))
def test_from_the_file_to_what_is_told_of_the_folder(first: int) -> None:
    assert found("told", batch(first)) == {}


@pytest.mark.slow
def test_most_are_looked_at_whole_and_end_in_every_way() -> None:
    hunts = [hunted("whole", seed) for seed in range(400, 500)]
    assert sum(bool(hunt.left_out) for hunt in hunts) < 20
    codes = [hunt.code for hunt in hunts]
    assert 40 < codes.count(0) < 95
    assert {0, 2, 3, 5, 75} <= set(codes)


def found(hunter: str, seeds: range) -> dict[str, list[str]]:
    """What is wrong, by the command that replays it."""
    hunts = {replay(hunter, seed): hunted(hunter, seed).found for seed in seeds}
    return {command: wrong for command, wrong in hunts.items() if wrong}
