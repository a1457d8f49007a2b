"""How long messages are under way, from readers that look only now and then.

When a message could have been read is not recorded, only when it was: at the beginning of an
iteration. So each message says whether it had arrived by the first look after it was sent. The more
time there was until that look, the more messages had. A curve that only rises, fitted to that
(isotonic regression, by pooling adjacent violators), is how likely a message has arrived after so
long (Ayer and others, 1955, for data of this kind, which is called current status data).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

__all__ = ["FEWEST", "Look", "arrived_after"]

Look = tuple[int, bool]
"""(nanoseconds from when a message was sent until the reader's next look, whether that look found
it)."""

FEWEST: Final = 50
"""Fewer looks say nothing."""

SURE: Final = 0.95
"""What is missed by a look long after it was sent was missed for another reason: a reader takes a
bounded number of messages at once, and systems stall."""


def arrived_after(looks: Sequence[Look], probabilities: Sequence[float]) -> list[float]:
    """The nanoseconds after which a message has arrived with each of these probabilities."""
    ordered = sorted(looks)
    shares: list[float] = []
    weights: list[int] = []
    for _, found in ordered:
        shares.append(float(found))
        weights.append(1)
        while len(shares) > 1 and shares[-2] >= shares[-1]:
            share, weight = shares.pop(), weights.pop()
            both = weights[-1] + weight
            shares[-1] = (shares[-1] * weights[-1] + share * weight) / both
            weights[-1] = both
    ends = np.cumsum(weights)
    begins = [ordered[end - weight][0] for end, weight in zip(ends, weights, strict=True)]
    wanted = [min(one, SURE) for one in probabilities]
    places = [int(np.searchsorted(shares, one)) for one in wanted]
    return [float(begins[min(place, len(begins) - 1)]) for place in places]
