"""Tells stalls from noise: iterations that take longer by far than the others of their size, and
those next to them.

Real stalls come in bursts: two ranks share a core until the system moves one of them, say, and
each iteration until then is slow. So neighbours are one stall. It is as long as all that they took
beyond the usual, and is no more in the noise of single steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from adpkv.calibration.iterations import Iteration
from adpkv.config.calibration import PROBABILITIES, Spread

__all__ = ["nanoseconds", "stalls_of", "told", "usual", "usual_ns"]

FAR: Final = 4
"""An iteration is stalled if its noise is above the slowest tenth by so many times what that is
above the middle."""

NEIGHBOURS: Final = 2
"""Stalled iterations of a group belong together if the second is one of so many next ones."""

FEWEST: Final = 5
"""Fewer stalls do not say how often there are any: they stay noise."""

Array = np.ndarray[Any, np.dtype[np.float64]]


def stalls_of(
    them: Sequence[Iteration], noise: Array
) -> tuple[dict[str, Any], np.ndarray[Any, np.dtype[np.bool_]]]:
    """(how often there are stalls and how long they are, as the configuration has it, which
    iterations had none).

    Args:
        them: iterations of groups of one size, those of a group in order.
        noise: by how much each was longer than explained, in nanoseconds.
    """
    middle = float(np.median(noise))
    stalled = noise > usual_ns(noise)
    lengths: list[float] = []
    last = -NEIGHBOURS - 1
    for place in np.flatnonzero(stalled).tolist():
        follows = (
            them[place].group == them[last].group and them[place].begin_ns > them[last].begin_ns
        )
        if lengths and place - last <= NEIGHBOURS and follows:
            lengths[-1] += noise[place] - middle
        else:
            lengths.append(noise[place] - middle)
        last = place
    if len(lengths) < FEWEST:
        return {}, np.ones(len(them), dtype=np.bool_)
    every_ns = sum(one.took_ns for one in them) / len(lengths)
    # Checked in the configuration: a group must get on between its stalls.
    spread = np.minimum(np.quantile(lengths, PROBABILITIES), every_ns / 2)
    return {"every": nanoseconds(every_ns), "length": told(spread)}, ~stalled


def usual(values: Sequence[float]) -> list[float]:
    """Those that no stall held up."""
    if not values:
        return []
    most_ns = usual_ns(np.array(values))
    return [one for one in values if one <= most_ns]


def usual_ns(values: Array) -> float:
    """What is longer than this is no noise."""
    middle, slow = np.quantile(values, [0.5, 0.9])
    return float(slow + FAR * (slow - middle))


def told(quantiles: Sequence[float] | Array) -> dict[str, str]:
    """Quantiles in nanoseconds, as `Spread` has them."""
    names = [str(field.alias) for field in Spread.model_fields.values()]
    return dict(zip(names, map(nanoseconds, quantiles), strict=True))


def nanoseconds(ns: float) -> str:
    """A duration as it stands in a configuration."""
    return f"{max(round(ns), 0)}ns"
