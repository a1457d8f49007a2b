"""An architecture from a `config.json` as Hugging Face's models have it.

The keys are those of `transformers`; the names of mixtures of experts differ by family. A model of
text and images has those of its text in `text_config`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from adpkv.presets.architecture import Architecture, Experts, Latent

__all__ = ["architecture_of"]

_WITHOUT_GATE: Final = frozenset(
    {"bloom", "falcon", "gpt2", "gpt_neox", "opt", "phi", "starcoder2"}
)
"""Families whose MLP has two matrices."""

_COUNTS: Final = ("n_routed_experts", "num_local_experts", "num_experts")
_ONE_BYTE: Final = frozenset({"fp8", "compressed-tensors", "int8", "modelopt"})

LARGEST: Final = 1 << 31


def architecture_of(config: Mapping[str, Any]) -> Architecture:
    """The architecture that a `config.json` describes.

    Raises:
        ValueError: a key that is needed is missing or is no count; the message names it.
    """
    text = config.get("text_config")
    if isinstance(text, Mapping):
        config = {**config, **text}
    heads, hidden = _count(config, "num_attention_heads"), _count(config, "hidden_size")
    quantized = config.get("quantization_config")
    method = quantized.get("quant_method") if isinstance(quantized, Mapping) else None
    return Architecture(
        layers=_count(config, "num_hidden_layers"),
        hidden=hidden,
        heads=heads,
        kv_heads=1 if config.get("multi_query") else _count(config, "num_key_value_heads", heads),
        head_dim=_count(config, "head_dim", max(1, hidden // heads)),
        # Some old families leave it out: it is four times the width.
        intermediate=_count(config, "intermediate_size", 4 * hidden),
        vocabulary=_count(config, "vocab_size"),
        experts=_experts(config),
        latent=_latent(config),
        gated=config.get("model_type") not in _WITHOUT_GATE,
        tied=bool(config.get("tie_word_embeddings", False)),
        weight_bytes=1 if method in _ONE_BYTE else 2,
    )


def _experts(config: Mapping[str, Any]) -> Experts | None:
    key = next((name for name in _COUNTS if config.get(name)), None)
    if key is None:
        return None
    width = _count(config, "moe_intermediate_size", config.get("intermediate_size"))
    shared = _count(config, "n_shared_experts", 0, least=0) * width
    return Experts(
        count=_count(config, key),
        chosen=_count(config, "num_experts_per_tok"),
        width=width,
        shared_width=_count(config, "shared_expert_intermediate_size", shared, least=0),
        dense_layers=_count(config, "first_k_dense_replace", 0, least=0),
    )


def _latent(config: Mapping[str, Any]) -> Latent | None:
    if not config.get("kv_lora_rank"):
        return None
    return Latent(
        kv_rank=_count(config, "kv_lora_rank"),
        rope_dim=_count(config, "qk_rope_head_dim"),
        nope_dim=_count(config, "qk_nope_head_dim"),
        value_dim=_count(config, "v_head_dim"),
        q_rank=_count(config, "q_lora_rank", 0, least=0),
    )


def _count(config: Mapping[str, Any], key: str, default: Any = None, *, least: int = 1) -> int:
    value = config.get(key)
    if value is None:
        value = default
    if value is None:
        raise ValueError(f"it has no {key}")
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value < LARGEST:
        raise ValueError(f"{key} must be a whole number >= {least}, not {value!r}")
    return value
