"""Output that ends early: a model stops when it has said all, and no server knows when that is.

Drawn by request number, as the clients' cancels are. So a server reserves blocks for all tokens
that were asked for, and has them back earlier than it could plan.
"""

from __future__ import annotations

from decimal import Context, Decimal
from math import ceil
from typing import Final

import msgspec

from adpkv.random_draws import exponential
from adpkv.workload.given import having, number, whole
from adpkv.workload.port import Arrival, Workload

__all__ = ["Stopping"]

DIGITS: Final = 20
"""More than a double's 17, as in `random_draws`."""

MOST_TOKENS: Final = 1e15
"""A float up to which every whole number is exact; no request asks for so many tokens."""


class Stopping:
    """Another workload, whose outputs end early. Each token is the last one with `probability`, so
    their number is geometric, with the mean 1 / probability, and at most what was asked for.
    Implements `Workload`."""

    def __init__(self, inner: Workload, seed: int, probability: float) -> None:
        having("Stopping: inner", inner, "due_ns", "take", "ended")
        whole("Stopping: seed", seed, None)
        number("Stopping: probability", probability, 1, above_0=True)
        self.total = inner.total
        self.due_ns, self.ended = inner.due_ns, inner.ended
        self._inner, self._seed, self._probability = inner, seed, probability
        self._number = 0

    def take(self) -> Arrival:
        """Remove and return the next request."""
        arrival = self._inner.take()
        after = self._stops_after(self._number)
        self._number += 1
        if after >= arrival.output_tokens:
            return arrival
        return msgspec.structs.replace(arrival, stops_after=after)

    def _stops_after(self, number: int) -> int:
        """With which token the output of request `number` ends, if it is asked for so many."""
        if self._probability >= 1.0:
            return 1
        drawn = exponential(self._seed, "stop", number) / _rate(self._probability)
        return max(1, ceil(min(drawn, MOST_TOKENS)))


def _rate(probability: float) -> float:
    """-ln(1 - probability), the same on every platform (`random_draws`). An exponential number of
    this rate, rounded up, is geometric."""
    context = Context(prec=DIGITS)
    going_on = context.subtract(Decimal(1), Decimal(probability))
    # A probability that is lost in 1 - probability is equal to this in all of its digits.
    return -float(context.ln(going_on)) or probability
