"""The `model` section: the shape of the KV cache, and what a forward step costs. It is adpkv's cost
model, a model that multiplies matrices, or a custom model by its name."""

from functools import cached_property
from typing import Annotated, Final, Literal

from pydantic import Discriminator, Field, Tag, WithJsonSchema

from adpkv.config.base import (
    Count,
    Duration,
    FineDuration,
    Positive,
    Section,
    Size,
    Text,
    duration,
    fine_duration,
)
from adpkv.config.named import CUSTOM, CustomSection, kind_of, kind_schema, name_of
from adpkv.core.step_cost import Cost, Costs
from adpkv.plugins import MODEL

__all__ = [
    "SHAPE",
    "CostModelConfig",
    "CostedModelConfig",
    "CustomModelConfig",
    "GemmModelConfig",
    "ModelConfig",
]

SHAPE: Final = ("layers", "kv_heads", "head_dim", "dtype_bytes", "collective")
"""The keys that every kind of model has."""


class _Shape(Section):
    """The keys of every kind of model: the shape of its KV cache."""

    kind: str = Field(description="the kind of model")
    layers: Count = Field(default=4, description="layers with a KV cache")
    kv_heads: Count = Field(default=2, description="KV heads per layer")
    head_dim: Count = Field(default=32, description="elements per head")
    dtype_bytes: Count = Field(default=2, description="bytes per element")

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes of one token's keys and values over all layers."""
        return self.layers * 2 * self.kv_heads * self.head_dim * self.dtype_bytes


class CostedModelConfig(_Shape):
    """A model whose step costs a linear function of its batch.

    step = step_base + per_prefill_token * prompt tokens + per_prefill_pair * (token, earlier
    token) pairs + per_sequence * decoding requests + per_context_token * their KV tokens
    """

    preset: Text | None = Field(
        default=None,
        description="`MODEL[:PRECISION]@DEVICE[xN][-tpT][-epE]`, such as "
        "`llama-3.3-70b@h100x8-tp8`, or the path of a config.json in place of MODEL: gives the "
        "keys that are left out, and the link's (docs/cost-model.md)",
    )
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

    @cached_property
    def costs(self) -> Costs:
        """The coefficients of a step."""
        return Costs(
            base_ns=self.step_base_ns,
            prefill_token_ns=_plain(self.per_prefill_token_ns),
            prefill_pair_ns=_plain(self.per_prefill_pair_ns),
            sequence_ns=_plain(self.per_sequence_ns),
            context_token_ns=_plain(self.per_context_token_ns),
        )


def _plain(cost: Cost) -> Cost:
    """An integer where it is one: a hundred times faster to reckon with."""
    return int(cost) if cost.denominator == 1 else cost


class CostModelConfig(CostedModelConfig):
    """A linear model of one rank's step; the slowest rank of a group sets the pace of all.

    step = step_base + per_prefill_token * prompt tokens + per_prefill_pair * (token, earlier
    token) pairs + per_sequence * decoding requests + per_context_token * their KV tokens
    """

    kind: Literal["cost"] = Field(default="cost", description="the kind of model")
    time_scale: Positive = Field(
        default=1.0, le=1e6, description="real world only: steps take this many times their cost"
    )


class GemmModelConfig(CostedModelConfig):
    """A model that computes: on real ranks a step multiplies matrices, reads the KV that its batch
    attends to, and exchanges bytes with the other ranks of its group, as an expert-parallel model
    does. In virtual time it costs what the cost model costs.
    """

    kind: Literal["gemm"] = Field(description="the kind of model")
    hidden: Count | None = Field(
        default=None,
        description="width of a token's vector; null: 4 x kv_heads x head_dim, as with four query"
        " heads for each KV head",
    )
    intermediate: Count | None = Field(
        default=None, description="width between a layer's two products; null: 4 x hidden"
    )
    device: Literal["auto", "host", "cuda"] = Field(
        default="auto",
        description="what computes; auto: the GPU if kv_cache.memory is `cuda`, else the processor",
    )
    collective_bytes_per_token: Size | None = Field(
        default=None,
        description="bytes that a step sends for each of its tokens to the ranks of its group, and"
        " gets back, evenly spread; null: a token's vector, 2 bytes an element; 0B: none",
    )
    collective_backend: Literal["auto", "nccl", "ipc", "mpi", "none"] = Field(
        default="auto",
        description="what moves them. `nccl`: a GPU for each rank of a group; `ipc`: CUDA IPC, any"
        " ranks of one host; `mpi`: through the host; auto: `mpi` where ranks share a GPU, else"
        " `nccl`, or `ipc` without NCCL; `none`: nothing is moved",
    )

    @property
    def time_scale(self) -> float:
        """Real steps take as long as they take."""
        return 1.0

    @property
    def width(self) -> int:
        """The width of a token's vector."""
        return self.hidden or 4 * self.kv_heads * self.head_dim

    @property
    def token_bytes(self) -> int:
        """How many bytes a step sends for each token; 0 without a collective."""
        if self.collective_backend == "none":
            return 0
        given = self.collective_bytes_per_token
        return 2 * self.width if given is None else given


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
    Annotated[CostModelConfig, Tag("cost")]
    | Annotated[GemmModelConfig, Tag("gemm")]
    | Annotated[CustomModelConfig, Tag(CUSTOM)],
    Discriminator(kind_of(MODEL, "cost")),
]
"""The section of any kind of model; without `kind` it is `cost`."""
