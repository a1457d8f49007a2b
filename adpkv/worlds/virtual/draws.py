"""Durations drawn by keys, from the quantiles that were measured."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from typing import Final

from adpkv.config.calibration import PROBABILITIES, Spread
from adpkv.random_draws import uniform

__all__ = ["Draw", "drawing"]

_PARTS: Final = 1 << 20
"""Of a quantile's interval: positions in it are whole numbers, so that nothing is rounded twice."""

Draw = Callable[..., int]
"""From a key to nanoseconds."""


def drawing(spread: Spread | None, seed: int, what: str, *, least_ns: int = 0) -> Draw:
    """Draws durations of this spread by their keys: the same key, the same duration."""
    quantiles = (0,) if spread is None else spread.quantiles_ns
    if not quantiles[-1]:
        return lambda *key: least_ns

    def draw(*key: int) -> int:
        drawn = uniform(seed, what, *key)
        above = max(bisect_left(PROBABILITIES, drawn), 1)
        low, high = PROBABILITIES[above - 1], PROBABILITIES[above]
        part, base = int((drawn - low) / (high - low) * _PARTS), quantiles[above - 1]
        return max(base + (quantiles[above] - base) * part // _PARTS, least_ns)

    return draw
