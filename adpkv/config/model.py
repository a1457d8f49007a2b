"""The cost model's section: the shape of the KV cache and what a forward step costs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from adpkv.config.base import (
    Count,
    Duration,
    FineDuration,
    Positive,
    Section,
    duration,
    fine_duration,
)
from adpkv.core.step_cost import Costs

__all__ = ["CostModelConfig"]


class CostModelConfig(Section):
    """A linear model of one rank's step; the slowest rank of a group sets the pace of all.

    step = step_base + per_prefill_token * prompt tokens + per_prefill_pair * (token, earlier
    token) pairs + per_sequence * decoding requests + per_context_token * their KV tokens
    """

    kind: Literal["cost"] = Field(default="cost", description="the kind of model")
    layers: Count = Field(default=4, description="layers with a KV cache")
    kv_heads: Count = Field(default=2, description="KV heads per layer")
    head_dim: Count = Field(default=32, description="elements per head")
    dtype_bytes: Count = Field(default=2, description="bytes per element")
    step_base_ns: Duration = duration(
        "5ms", key="step_base", about="what every step costs, a dummy's too"
    )
    per_prefill_token_ns: FineDuration = fine_duration(
        "20us", key="per_prefill_token", about="per prompt token computed"
    )
    per_prefill_pair_ns: FineDuration = fine_duration(
        "2ns", key="per_prefill_pair", about="attention, per (token, earlier token) pair"
    )
    per_sequence_ns: FineDuration = fine_duration(
        "50us", key="per_sequence", about="per request that decodes a token"
    )
    per_context_token_ns: FineDuration = fine_duration(
        "20ns", key="per_context_token", about="per token of KV that decoding reads"
    )
    collective_ns: Duration = duration(
        "40us", key="collective", about="one small collective; virtual world only"
    )
    time_scale: Positive = Field(
        default=1.0, le=1e6, description="real world only: steps take this many times their cost"
    )

    @property
    def costs(self) -> Costs:
        """The coefficients of a step."""
        return Costs(
            base_ns=self.step_base_ns,
            prefill_token_ns=self.per_prefill_token_ns,
            prefill_pair_ns=self.per_prefill_pair_ns,
            sequence_ns=self.per_sequence_ns,
            context_token_ns=self.per_context_token_ns,
        )

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes of one token's keys and values over all layers."""
        return self.layers * 2 * self.kv_heads * self.head_dim * self.dtype_bytes
