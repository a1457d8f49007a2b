"""Seeds of random experiments by the batch: one test each, which takes seconds, not minutes."""

from __future__ import annotations

from typing import Any

import pytest

__all__ = ["SEEDS_PER_TEST", "batch", "batches", "first_quarter"]

SEEDS_PER_TEST = 20

FAST_IN, HERE_IN = 8, 4
"""`make check` has one in eight batches, `make test` one in four, `make seeds` all of them."""


def batches(first: int, last: int) -> list[Any]:
    """The first seed of each batch of the seeds from `first` to below `last`."""
    return [
        pytest.param(seed, marks=_marks(number))
        for number, seed in enumerate(range(first, last, SEEDS_PER_TEST))
    ]


def first_quarter(last: int) -> list[Any]:
    """The first seed of each batch of the seeds from 0 to below `last`, for a test that is slow:
    `make test` has the first quarter of them, `make seeds` all."""
    return [
        pytest.param(seed, marks=pytest.mark.campaign if 4 * seed >= last else ())
        for seed in range(0, last, SEEDS_PER_TEST)
    ]


def _marks(number: int) -> list[pytest.MarkDecorator]:
    if number % FAST_IN == 0:
        return []
    return [pytest.mark.slow] if number % HERE_IN == 0 else [pytest.mark.slow, pytest.mark.campaign]


def batch(first: int) -> range:
    """The seeds of one batch."""
    return range(first, first + SEEDS_PER_TEST)
