"""The cost model: a forward step's time as a linear function of its batch.

    step = base + a * prompt tokens + b * (token, earlier token) pairs
                + c * decoding sequences + d * tokens of KV that they read

Prefill is compute-bound (a: the dense layers per token, b: attention per pair). Decode is memory-
bound (d: a KV token's bytes divided by the memory bandwidth, c: the part of each sequence). Each
pair of coefficients is one side of the roofline (Williams, Waterman, Patterson, 2009). A batch is
either prefill or decode, so the sum is the side that limits it.

A coefficient may be a fraction of a nanosecond: a fast accelerator computes a token's attention to
another in picoseconds. A step is added up in ticks, the coefficients' common denominator, and
rounded once. So sums of steps are exact, and no fraction is lost per token.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from adpkv.core.step_cost import Costs
from adpkv.model.port import Batch, rounded_ns

__all__ = ["CostModel"]

NS_PER_S: Final = 1e9


class CostModel:
    """One rank's cost model; implements `model.port.Model`. `time_scale` multiplies the time of
    real steps only. `ticks_per_ns` is a multiple of the costs' own, for a world of several costs.
    """

    def __init__(
        self,
        costs: Costs,
        time_scale: float,
        sleep: Callable[[float], None] = time.sleep,
        *,
        ticks_per_ns: int | None = None,
    ) -> None:
        self.ticks_per_ns = ticks = ticks_per_ns or costs.ticks_per_ns
        # All coefficients in ticks, so they are integers.
        self._costs = Costs(*(int(cost * ticks) for cost in costs.coefficients))
        self._scale = time_scale
        self._sleep = sleep

    def line(self, batch: Batch) -> tuple[int, int]:
        """(base, slope) in ticks. Each further decode step reads one more token per sequence."""
        costs = self._costs
        base = costs.step_ns(
            batch.prefill_tokens, batch.prefill_pairs, batch.sequences, batch.context_tokens
        )
        return base, costs.context_token_ns * batch.sequences  # type: ignore[return-value]

    def pairs_slope(self, pairs: int) -> int:
        """By how many ticks each of several steps in a row is longer that has so many prefill pairs
        more than the one before."""
        return self._costs.prefill_pair_ns * pairs  # type: ignore[return-value]

    def run(self, batch: Batch) -> None:
        """Sleep as long as the step takes. Without a time it does not sleep, as even sleep(0) would
        yield the CPU core."""
        step_ns = rounded_ns(self.line(batch)[0], self.ticks_per_ns)
        seconds = step_ns * self._scale / NS_PER_S
        if seconds > 0:
            self._sleep(seconds)
