"""The cost model: a forward step as a line over its batch, and taking that long for real.

    step = base + a * prompt tokens + b * (token, earlier token) pairs
                + c * decoding sequences + d * tokens of KV that they read

Prefill is compute-bound (a: the dense part per token, b: attention per pair), decode is memory-
bound (d: a KV token's bytes over the memory bandwidth, c: what each sequence adds). Each
coefficient is one arm of the roofline (Williams, Waterman, Patterson, 2009); a batch has only one
of the two kinds, so their sum is the arm that binds.

A coefficient may be a fraction of a nanosecond: a fast accelerator computes a token's attention to
another in picoseconds. A step is summed up in ticks, the coefficients' common denominator, and
rounded once: sums of steps stay exact, and no fraction is lost a token at a time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import astuple, dataclass
from fractions import Fraction
from math import lcm

from adpkv.model.port import Batch, rounded_ns

__all__ = ["CostModel", "Costs"]

NS_PER_S = 1e9


@dataclass(frozen=True, slots=True)
class Costs:
    """The coefficients, in nanoseconds or exact fractions of them."""

    base_ns: Fraction | int
    prefill_token_ns: Fraction | int
    prefill_pair_ns: Fraction | int
    sequence_ns: Fraction | int
    context_token_ns: Fraction | int


class CostModel:
    """One rank's model. `time_scale` stretches real steps only."""

    def __init__(
        self, costs: Costs, time_scale: float, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        exact = [Fraction(cost) for cost in astuple(costs)]
        self.ticks_per_ns = ticks = lcm(*(cost.denominator for cost in exact))
        self._base, self._token, self._pair, self._sequence, self._context_token = (
            int(cost * ticks) for cost in exact
        )
        self._scale = time_scale
        self._sleep = sleep

    def line(self, batch: Batch) -> tuple[int, int]:
        """(base, slope) in ticks: each further step reads one token more per sequence."""
        base = self._base
        if batch.prefill_tokens:
            base += self._token * batch.prefill_tokens + self._pair * batch.prefill_pairs
        if not batch.sequences:
            return base, 0
        base += self._sequence * batch.sequences + self._context_token * batch.context_tokens
        return base, self._context_token * batch.sequences

    def run(self, batch: Batch) -> None:
        """Take as long as the step would. No sleep for none: it would give the core away."""
        step_ns = rounded_ns(self.line(batch)[0], self.ticks_per_ns)
        seconds = step_ns * self._scale / NS_PER_S
        if seconds > 0:
            self._sleep(seconds)
