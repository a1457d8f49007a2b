"""Seeds of random experiments by the batch: one test each, which takes seconds, not minutes."""

from __future__ import annotations

from typing import Any

import pytest

__all__ = ["SEEDS_PER_TEST", "batch", "batches"]

SEEDS_PER_TEST = 20

FAST_IN = 4
"""One in so many batches also runs in `make check`, all of them in `make test`."""


def batches(first: int, last: int) -> list[Any]:
    """The first seed of each batch of the seeds from `first` to below `last`."""
    return [
        pytest.param(seed, marks=[pytest.mark.slow] if number % FAST_IN else [])
        for number, seed in enumerate(range(first, last, SEEDS_PER_TEST))
    ]


def batch(first: int) -> range:
    """The seeds of one batch."""
    return range(first, first + SEEDS_PER_TEST)
