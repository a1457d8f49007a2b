"""The shape of a transformer: its parameters, what a token costs, and the KV that a token leaves.

Counts are of the matrices alone; norms, biases and rotary tables are a thousandth of them.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Architecture", "Experts", "Latent"]


@dataclass(frozen=True, slots=True)
class Experts:
    """The layers whose MLP is a mixture of experts: all but the first `dense_layers`. A token goes
    through `chosen` of `count` experts of width `width`, and through shared ones of `shared_width`
    together."""

    count: int
    chosen: int
    width: int
    shared_width: int = 0
    dense_layers: int = 0


@dataclass(frozen=True, slots=True)
class Latent:
    """Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434, section 2.1): a token leaves one
    latent of `kv_rank` and one rotary key of `rope_dim` for all heads. `q_rank` is 0 if queries are
    not compressed."""

    kv_rank: int
    rope_dim: int
    nope_dim: int
    value_dim: int
    q_rank: int = 0


@dataclass(frozen=True, slots=True)
class Architecture:
    """A decoder. With `latent` the KV heads mean nothing. `gated` MLPs have three matrices, others
    two. `weight_bytes` is the size of a parameter as it is served."""

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocabulary: int
    experts: Experts | None = None
    latent: Latent | None = None
    gated: bool = True
    tied: bool = False
    weight_bytes: int = 2

    # -- parameters ----------------------------------------------------------------------------

    @property
    def attention_parameters(self) -> int:
        """Of one layer."""
        if self.latent is None:
            return 2 * self.hidden * self.head_dim * (self.heads + self.kv_heads)
        one, query = self.latent, self.heads * (self.latent.nope_dim + self.latent.rope_dim)
        queries = one.q_rank * (self.hidden + query) if one.q_rank else self.hidden * query
        keys = self.hidden * (one.kv_rank + one.rope_dim)
        keys += one.kv_rank * self.heads * (one.nope_dim + one.value_dim)
        return queries + keys + self.heads * one.value_dim * self.hidden

    def _mlp(self, width: int) -> int:
        return (3 if self.gated else 2) * self.hidden * width

    @property
    def expert_parameters(self) -> int:
        """Of all routed experts of all layers together."""
        one = self.experts
        if one is None:
            return 0
        return (self.layers - one.dense_layers) * one.count * self._mlp(one.width)

    @property
    def dense_parameters(self) -> int:
        """Of all layers, without routed experts: what every token goes through."""
        attention = self.layers * self.attention_parameters
        one = self.experts
        if one is None:
            return attention + self.layers * self._mlp(self.intermediate)
        sparse = self.layers - one.dense_layers
        router = sparse * self.hidden * one.count
        return (
            attention
            + one.dense_layers * self._mlp(self.intermediate)
            + sparse * self._mlp(one.shared_width)
            + router
        )

    @property
    def head_parameters(self) -> int:
        """Of the last product, from a token's vector to the vocabulary."""
        return self.vocabulary * self.hidden

    @property
    def parameters(self) -> int:
        """All of them."""
        embeddings = self.head_parameters * (1 if self.tied else 2)
        return self.dense_parameters + self.expert_parameters + embeddings

    @property
    def active_parameters(self) -> int:
        """What a token goes through, in the layers: without embeddings and the last product."""
        one = self.experts
        chosen = self.expert_parameters * one.chosen // one.count if one else 0
        return self.dense_parameters + chosen

    # -- attention -----------------------------------------------------------------------------

    @property
    def kv_values(self) -> int:
        """Values that a token leaves in one layer: a key and a value per KV head (GQA; with one
        head it is MQA), or the latent and the rotary key (MLA)."""
        if self.latent is not None:
            return self.latent.kv_rank + self.latent.rope_dim
        return 2 * self.kv_heads * self.head_dim

    def kv_bytes_per_token(self, dtype_bytes: int = 2) -> int:
        """Bytes of a token's KV over all layers."""
        return self.layers * self.kv_values * dtype_bytes

    @property
    def pair_flops(self) -> int:
        """Floating point operations for one token that attends to one other, over all layers: the
        product of query and key, and the weighted value, of each head. In prefill latent attention
        unfolds its latents, so it has keys of `nope_dim + rope_dim` and values of `value_dim`."""
        one = self.latent
        if one is None:
            return self.layers * self.heads * 4 * self.head_dim
        return self.layers * self.heads * 2 * (one.nope_dim + one.rope_dim + one.value_dim)
