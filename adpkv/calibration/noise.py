"""Noise as durations: none is below 0, and on average they are as long as what was measured.

An iteration may take less than its parts say. That cannot be drawn, so it counts as one without
noise. With nothing else done, steps would be too long on average, and over many of them that adds
up: all noise is less by as much as it takes. Where it is never below 0 nothing is changed.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

__all__ = ["as_durations"]

HALVINGS: Final = 60
"""Of an interval of durations in nanoseconds: more than they have digits."""

Array = np.ndarray[Any, np.dtype[np.float64]]


def as_durations(noise: Array) -> Array:
    """All of it less by the same, and what is below 0 then as 0, with the mean as it was; only
    zeros if that is below 0."""
    mean = float(np.mean(noise))
    low, high = 0.0, max(float(np.max(noise)), 0.0)
    for _ in range(HALVINGS):
        less = (low + high) / 2
        if float(np.mean(np.maximum(noise - less, 0.0))) > mean:
            low = less
        else:
            high = less
    return np.maximum(noise - high, 0.0)
