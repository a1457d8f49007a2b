"""The cost model: a forward step as a line over its batch, and taking that long for real.

    step = base + a * prompt tokens + b * (token, earlier token) pairs
                + c * decoding sequences + d * tokens of KV that they read

Prefill is compute-bound (a: the dense part per token, b: attention per pair), decode is memory-
bound (d: a KV token's bytes over the memory bandwidth, c: what each sequence adds). Each
coefficient is one arm of the roofline (Williams, Waterman, Patterson, 2009); a batch has only one
of the two kinds, so their sum is the arm that binds. Coefficients are whole nanoseconds: sums of
steps stay exact.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from adpkv.model.port import Batch

__all__ = ["CostModel", "Costs"]

NS_PER_S = 1e9


@dataclass(frozen=True, slots=True)
class Costs:
    """The coefficients, in whole nanoseconds."""

    base_ns: int
    prefill_token_ns: int
    prefill_pair_ns: int
    sequence_ns: int
    context_token_ns: int


class CostModel:
    """One rank's model. `time_scale` stretches real steps only."""

    def __init__(
        self, costs: Costs, time_scale: float, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._costs = costs
        self._scale = time_scale
        self._sleep = sleep

    def line(self, batch: Batch) -> tuple[int, int]:
        """(base_ns, slope_ns): each further step reads one token more per sequence."""
        costs = self._costs
        base_ns = costs.base_ns
        if batch.prefill_tokens:
            base_ns += costs.prefill_token_ns * batch.prefill_tokens
            base_ns += costs.prefill_pair_ns * batch.prefill_pairs
        if not batch.sequences:
            return base_ns, 0
        base_ns += costs.sequence_ns * batch.sequences
        base_ns += costs.context_token_ns * batch.context_tokens
        return base_ns, costs.context_token_ns * batch.sequences

    def run(self, batch: Batch) -> None:
        """Take as long as the step would. No sleep for none: it would give the core away."""
        seconds = self.line(batch)[0] * self._scale / NS_PER_S
        if seconds > 0:
            self._sleep(seconds)
