"""What a forward step costs: a linear function of its batch. The formula is only here:

step = base + prefill token * prompt tokens + prefill pair * (token, earlier token) pairs
       + sequence * decoding requests + context token * their KV tokens
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import lcm

__all__ = ["Cost", "Costs"]

Cost = Fraction | int


@dataclass(frozen=True, slots=True)
class Costs:
    """The coefficients of the formula, in nanoseconds (exact fractions) or all of them in ticks."""

    base_ns: Cost
    prefill_token_ns: Cost
    prefill_pair_ns: Cost
    sequence_ns: Cost
    context_token_ns: Cost

    def step_ns(
        self,
        prefill_tokens: int = 0,
        prefill_pairs: int = 0,
        sequences: int = 0,
        context_tokens: int = 0,
    ) -> Cost:
        """The cost of a step over this batch, in the coefficients' unit. All zero: a dummy."""
        cost_ns = self.base_ns
        if prefill_tokens or prefill_pairs:  # most batches have only the one kind
            cost_ns += self.prefill_token_ns * prefill_tokens
            cost_ns += self.prefill_pair_ns * prefill_pairs
        if sequences or context_tokens:
            cost_ns += self.sequence_ns * sequences + self.context_token_ns * context_tokens
        return cost_ns

    @property
    def coefficients(self) -> tuple[Cost, ...]:
        """All of them, in the order of the fields."""
        return (
            self.base_ns,
            self.prefill_token_ns,
            self.prefill_pair_ns,
            self.sequence_ns,
            self.context_token_ns,
        )

    @property
    def ticks_per_ns(self) -> int:
        """The smallest number of ticks per nanosecond with which all coefficients are integers."""
        return lcm(*(cost.denominator for cost in self.coefficients))
