"""Measuring: medians over repetitions, the collector out of the way."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median
from time import perf_counter

__all__ = ["median_of", "seconds", "without_collector"]


@contextmanager
def without_collector() -> Iterator[None]:
    """Python's cycle collector rests, as in `timeit`: when it comes is not what is measured."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def seconds(work: Callable[[], object]) -> float:
    """Wall seconds that `work` takes, once."""
    with without_collector():
        began = perf_counter()
        work()
        return perf_counter() - began


def median_of(repetitions: int, measure: Callable[[], float]) -> float:
    """The median of several measurements."""
    return median(measure() for _ in range(repetitions))
