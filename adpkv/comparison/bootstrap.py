"""How sure a difference between two sides is, from their seeds: bootstrap confidence intervals.

Where both sides were run with the same seeds, they served the same requests: the seeds are drawn in
pairs, and what differs between workloads does not count as doubt. Draws are keyed, so that the same
runs always give the same interval. B. Efron, R. Tibshirani: An Introduction to the Bootstrap, 1993,
chapter 13 (percentile intervals).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from statistics import fmean
from typing import Final

from adpkv.random_draws import integer

__all__ = ["LEAST_SEEDS", "Difference", "difference"]

RESAMPLES: Final = 1000
TAIL: Final = 0.025
"""On each side: 95 % are between."""

LEAST_SEEDS: Final = 3
"""With fewer there is no interval: it would say next to nothing."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Of the mean of one side from that of the first."""

    value: float
    """A share of the first side's mean; an absolute difference if that is 0."""
    relative: bool
    low: float | None = None
    high: float | None = None
    """The 95 % confidence interval, in the same unit; None with too few seeds."""

    @property
    def sure(self) -> bool:
        """Is it more than chance?"""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high


def difference(first: Sequence[float], other: Sequence[float], *, paired: bool) -> Difference:
    """How the other side differs. `paired`: the values are of the same seeds, in the same order."""
    base = fmean(first)
    relative = base != 0
    value = _gap(base, fmean(other), relative)
    if min(len(first), len(other)) < LEAST_SEEDS:
        return Difference(value, relative)
    mine = _resamples(len(first), "first")
    theirs = mine if paired else _resamples(len(other), "other")
    gaps = []
    for drawn, also in zip(mine, theirs, strict=True):
        mean = fmean(first[at] for at in drawn)
        # A draw of seeds that are all 0 is compared as such.
        gaps.append(_gap(mean or base, fmean(other[at] for at in also), relative))
    gaps.sort()
    low, high = gaps[int(TAIL * RESAMPLES)], gaps[int((1 - TAIL) * RESAMPLES) - 1]
    return Difference(value, relative, low, high)


def _gap(base: float, other: float, relative: bool) -> float:
    return other / base - 1 if relative else other - base


@cache
def _resamples(count: int, side: str) -> tuple[tuple[int, ...], ...]:
    """Which values each resample has: the same for every figure."""
    return tuple(
        tuple(integer(0, count - 1, 0, "bootstrap", side, number, at) for at in range(count))
        for number in range(RESAMPLES)
    )
