"""Noise as durations: none is below 0, and draws are as long on average as what was measured.

An iteration may take less than its parts say. That cannot be drawn, so it counts as one without
noise. And what is drawn lies on straight lines between a few quantiles, which are above a tail that
falls off. Either makes steps too long on average, and over many of them that adds up: all noise is
less by as much as it takes, also where it is never below 0. So each quantile keeps its distance to
the others, but for those at 0, and none moves by more than that, the tail's neither. Where lines
are below what was measured, noise is more by as much.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from adpkv.config.calibration import PROBABILITIES

__all__ = ["as_durations"]

HALVINGS: Final = 60
"""Of an interval of durations in nanoseconds: more than they have digits."""

Array = np.ndarray[Any, np.dtype[np.float64]]


def as_durations(noise: Array) -> Array:
    """Its quantiles at `PROBABILITIES`, all less by the same and what is below 0 then as 0, so that
    the mean of what is drawn from them is that of the noise; only zeros if that is below 0."""
    mean = float(np.mean(noise))
    if mean <= 0:
        return np.zeros(len(PROBABILITIES))
    quantiles = np.quantile(noise, PROBABILITIES)
    low, high = float(quantiles[0]) - mean, float(quantiles[-1])
    for _ in range(HALVINGS):
        less = (low + high) / 2
        if _mean_drawn(np.maximum(quantiles - less, 0.0)) > mean:
            low = less
        else:
            high = less
    return np.maximum(quantiles - high, 0.0)


def _mean_drawn(quantiles: Array) -> float:
    """Of draws from straight lines between them."""
    return float(np.diff(PROBABILITIES) @ (quantiles[1:] + quantiles[:-1])) / 2
