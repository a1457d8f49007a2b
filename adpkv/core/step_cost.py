"""What a forward step costs: a linear model of its batch, the one place where its formula stands.

step = base + prefill token * prompt tokens + prefill pair * (token, earlier token) pairs
       + sequence * decoding requests + context token * their KV tokens
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from fractions import Fraction
from math import lcm

__all__ = ["Cost", "Costs"]

Cost = Fraction | int


@dataclass(frozen=True, slots=True)
class Costs:
    """The coefficients, in nanoseconds or exact fractions of them; or all of them in ticks."""

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
        """One step over such a batch; over nothing, what a dummy costs."""
        return (
            self.base_ns
            + self.prefill_token_ns * prefill_tokens
            + self.prefill_pair_ns * prefill_pairs
            + self.sequence_ns * sequences
            + self.context_token_ns * context_tokens
        )

    @property
    def ticks_per_ns(self) -> int:
        """The fewest ticks of a nanosecond of which all coefficients are multiples."""
        return lcm(*(Fraction(cost).denominator for cost in astuple(self)))
