"""Computes once what all copies of an experiment have in common.

An exploration makes thousands of runs that differ in their seed, their workload and their faults.
The rest of a job's properties would be the same each time (`Experiment.kept`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from adpkv.config import Experiment

__all__ = ["once"]

T = TypeVar("T")


def once(experiment: Experiment, key: object, make: Callable[[], T]) -> T:
    """What `make` returned the first time that it was asked under this key of an experiment, or of
    a copy with another seed, workload or faults. It may depend on none of these."""
    found: T | None = experiment.kept.get(key)
    if found is None:
        found = experiment.kept[key] = make()
    return found
