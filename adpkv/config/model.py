"""The `model` section: the shape of the KV cache, and what a forward step costs. It is adpkv's cost
model, or a custom model by its name."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Discriminator, Field, Tag, WithJsonSchema

from adpkv.config.base import (
    Count,
    Duration,
    FineDuration,
    Positive,
    Section,
    duration,
    fine_duration,
)
from adpkv.config.named import CUSTOM, CustomSection, kind_of, kind_schema, name_of
from adpkv.core.step_cost import Costs
from adpkv.plugins import MODEL

__all__ = ["SHAPE", "CostModelConfig", "CustomModelConfig", "ModelConfig"]

SHAPE: Final = ("layers", "kv_heads", "head_dim", "dtype_bytes", "collective")
"""The keys that every kind of model has."""


class _Shape(Section):
    """The keys of every kind of model: the shape of its KV cache."""

    kind: str
    layers: Count = Field(default=4, description="layers with a KV cache")
    kv_heads: Count = Field(default=2, description="KV heads per layer")
    head_dim: Count = Field(default=32, description="elements per head")
    dtype_bytes: Count = Field(default=2, description="bytes per element")

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes of one token's keys and values over all layers."""
        return self.layers * 2 * self.kv_heads * self.head_dim * self.dtype_bytes


class CostModelConfig(_Shape):
    """A linear model of one rank's step; the slowest rank of a group sets the pace of all.

    step = step_base + per_prefill_token * prompt tokens + per_prefill_pair * (token, earlier
    token) pairs + per_sequence * decoding requests + per_context_token * their KV tokens
    """

    kind: Literal["cost"] = Field(default="cost", description="the kind of model")
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


class CustomModelConfig(_Shape, CustomSection):
    """A model that does not come with adpkv, by its name. All other keys are parameters of its
    factory."""

    kind: Annotated[str, *name_of(MODEL), WithJsonSchema(kind_schema(MODEL))] = Field(
        description="`MODULE:FACTORY`, or an entry point of `adpkv.models`"
    )
    collective_ns: Duration = duration(
        "40us", key="collective", about="one small collective; virtual world only"
    )
    longest_step_ns: Duration = duration(
        "1s",
        key="longest_step",
        about="no step takes longer: limits on waiting for a rank allow for it",
        gt=0,
    )

    @property
    def time_scale(self) -> float:
        """A custom model's steps are not scaled."""
        return 1.0


ModelConfig = Annotated[
    Annotated[CostModelConfig, Tag("cost")] | Annotated[CustomModelConfig, Tag(CUSTOM)],
    Discriminator(kind_of(MODEL, "cost")),
]
"""The section of any kind of model; without `kind` it is `cost`."""
