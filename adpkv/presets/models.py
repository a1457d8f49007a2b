"""The models that have names, as the parts of their published `config.json` that matter here.

Each was taken from the model's page on Hugging Face (docs/cost-model.md). DeepSeek-V3 is published
in FP8, the others in BF16.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

__all__ = ["MODELS"]


def _llama(layers: int, hidden: int, heads: int, intermediate: int) -> dict[str, Any]:
    return {
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "num_attention_heads": heads,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "intermediate_size": intermediate,
        "vocab_size": 128_256,
    }


def _qwen(
    layers: int, hidden: int, heads: int, kv_heads: int, intermediate: int, **more: Any
) -> dict[str, Any]:
    return {
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": 128,
        "intermediate_size": intermediate,
        **more,
    }


_QWEN2: Final = {"vocab_size": 152_064}
_QWEN3: Final = {"vocab_size": 151_936}

_DEEPSEEK_V3: Final = {
    "num_hidden_layers": 61,
    "hidden_size": 7168,
    "num_attention_heads": 128,
    "num_key_value_heads": 128,
    "intermediate_size": 18_432,
    "vocab_size": 129_280,
    "n_routed_experts": 256,
    "num_experts_per_tok": 8,
    "moe_intermediate_size": 2048,
    "n_shared_experts": 1,
    "first_k_dense_replace": 3,
    "q_lora_rank": 1536,
    "kv_lora_rank": 512,
    "qk_rope_head_dim": 64,
    "qk_nope_head_dim": 128,
    "v_head_dim": 128,
    "quantization_config": {"quant_method": "fp8"},
}

MODELS: Final[Mapping[str, Mapping[str, Any]]] = {
    "llama-3.1-8b": _llama(32, 4096, 32, 14_336),
    "llama-3.1-70b": _llama(80, 8192, 64, 28_672),
    "llama-3.3-70b": _llama(80, 8192, 64, 28_672),
    "llama-3.1-405b": _llama(126, 16_384, 128, 53_248),
    "qwen2.5-7b": _qwen(28, 3584, 28, 4, 18_944, **_QWEN2),
    "qwen2.5-32b": _qwen(64, 5120, 40, 8, 27_648, **_QWEN2),
    "qwen2.5-72b": _qwen(80, 8192, 64, 8, 29_568, **_QWEN2),
    "qwen3-8b": _qwen(36, 4096, 32, 8, 12_288, **_QWEN3),
    "qwen3-32b": _qwen(64, 5120, 64, 8, 25_600, **_QWEN3),
    "qwen3-30b-a3b": _qwen(
        48,
        2048,
        32,
        4,
        6144,
        num_experts=128,
        num_experts_per_tok=8,
        moe_intermediate_size=768,
        **_QWEN3,
    ),
    "qwen3-235b-a22b": _qwen(
        94,
        4096,
        64,
        4,
        12_288,
        num_experts=128,
        num_experts_per_tok=8,
        moe_intermediate_size=1536,
        **_QWEN3,
    ),
    "mistral-7b": {**_llama(32, 4096, 32, 14_336), "vocab_size": 32_768},
    "mixtral-8x7b": {
        **_llama(32, 4096, 32, 14_336),
        "vocab_size": 32_000,
        "num_local_experts": 8,
        "num_experts_per_tok": 2,
    },
    "falcon-7b": {
        "model_type": "falcon",
        "num_hidden_layers": 32,
        "hidden_size": 4544,
        "num_attention_heads": 71,
        "multi_query": True,
        "vocab_size": 65_024,
        "tie_word_embeddings": True,
    },
    "deepseek-v3": _DEEPSEEK_V3,
    "deepseek-r1": _DEEPSEEK_V3,
}
