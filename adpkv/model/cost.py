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
from dataclasses import astuple

from adpkv.core.step_cost import Costs
from adpkv.model.port import Batch, rounded_ns

__all__ = ["CostModel"]

NS_PER_S = 1e9


class CostModel:
    """One rank's model. `time_scale` stretches real steps only."""

    def __init__(
        self, costs: Costs, time_scale: float, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.ticks_per_ns = ticks = costs.ticks_per_ns
        # All in ticks, which are whole numbers.
        self._costs = Costs(*(int(cost * ticks) for cost in astuple(costs)))
        self._scale = time_scale
        self._sleep = sleep

    def line(self, batch: Batch) -> tuple[int, int]:
        """(base, slope) in ticks: each further step reads one token more per sequence."""
        costs = self._costs
        base = costs.step_ns(
            batch.prefill_tokens, batch.prefill_pairs, batch.sequences, batch.context_tokens
        )
        return base, costs.context_token_ns * batch.sequences  # type: ignore[return-value]

    def run(self, batch: Batch) -> None:
        """Take as long as the step would. No sleep for none: it would give the core away."""
        step_ns = rounded_ns(self.line(batch)[0], self.ticks_per_ns)
        seconds = step_ns * self._scale / NS_PER_S
        if seconds > 0:
            self._sleep(seconds)
