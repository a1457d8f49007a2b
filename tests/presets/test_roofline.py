"""Presets against what was published: parameters, KV per token, and measured latencies."""

from __future__ import annotations

from typing import Any

import pytest

from adpkv.presets.hugging_face import architecture_of
from adpkv.presets.models import MODELS
from adpkv.presets.preset import parse_preset

PUBLISHED = {
    # Billions of parameters, as the models' publishers tell them.
    "llama-3.1-8b": 8.03,
    "llama-3.3-70b": 70.6,
    "llama-3.1-405b": 406,
    "qwen2.5-7b": 7.62,
    "qwen2.5-72b": 72.7,
    "qwen3-8b": 8.2,
    "qwen3-32b": 32.8,
    "qwen3-30b-a3b": 30.5,
    "qwen3-235b-a22b": 235,
    "mixtral-8x7b": 46.7,
    "mistral-7b": 7.25,
    "deepseek-v3": 671,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_parameters_are_those_that_were_published(name: str) -> None:
    found = architecture_of(MODELS[name]).parameters / 1e9
    assert found == pytest.approx(PUBLISHED[name], rel=0.005)


def test_what_a_token_goes_through() -> None:
    """With the last product, as publishers count: 37 billion of DeepSeek-V3's, 22 of Qwen3's."""
    for name, billions in (("deepseek-v3", 37), ("qwen3-235b-a22b", 22), ("mixtral-8x7b", 12.9)):
        one = architecture_of(MODELS[name])
        assert (one.active_parameters + one.head_parameters) / 1e9 == pytest.approx(
            billions, rel=0.03
        )


@pytest.mark.parametrize(
    ("name", "by_hand"),
    [
        # Table 1 of "Insights into DeepSeek-V3" (ISCA 2025, arXiv 2505.09343): 70.272 KB, 327.680
        # KB and 516.096 KB in BF16. By hand: layers x values x 2 bytes.
        ("deepseek-v3", 61 * (512 + 64) * 2),  # MLA: the latent and the rotary key
        ("qwen2.5-72b", 80 * (2 * 8 * 128) * 2),  # GQA: keys and values of eight heads
        ("llama-3.1-405b", 126 * (2 * 8 * 128) * 2),
        # MQA: one head of 64, 8 KiB in all.
        ("falcon-7b", 32 * (2 * 1 * 64) * 2),
    ],
)
def test_kv_per_token_is_what_one_finds_by_hand(name: str, by_hand: int) -> None:
    assert by_hand in (70_272, 327_680, 516_096, 8192)
    preset = parse_preset(f"{name}@b200x8-tp{1 if name == 'falcon-7b' else 8}")
    assert preset.rank.kv_bytes_per_token == by_hand
    keys = preset.section()
    assert keys["layers"] * 2 * keys["kv_heads"] * keys["head_dim"] * keys["dtype_bytes"] == by_hand


def test_kv_of_one_byte_is_half() -> None:
    plain, small = (parse_preset("llama-3.1-8b@h100", size) for size in (2, 1))
    assert small.rank.kv_bytes_per_token == plain.rank.kv_bytes_per_token // 2
    assert small.rank.costs().context_token_ns == pytest.approx(
        float(plain.rank.costs().context_token_ns) / 2, rel=1e-6
    )


# -- published measurements ----------------------------------------------------------------------


def ttft_ms(name: str, prompt: int, batch: int = 1) -> float:
    costs = parse_preset(name).rank.costs()
    return float(costs.step_ns(prompt * batch, batch * prompt * (prompt + 1) // 2)) / 1e6


def tpot_ms(name: str, batch: int, context: float) -> float:
    costs = parse_preset(name).rank.costs()
    return float(costs.step_ns(sequences=batch, context_tokens=round(batch * context))) / 1e6


NIM = "llama-3.3-70b:fp8@h100x2-tp2"
"""NVIDIA NIM 1.8.0, Llama-3.3-70b-instruct, 2 x H100, fp8 TP2, one request at a time
(docs.nvidia.com/nim/benchmarking/llm/1.0.0/performance)."""

MEASURED = [
    # (what, computed, measured in ms, how far off it is in per cent, as docs/cost-model.md has it)
    ("NIM ITL, 5000 + 500", tpot_ms(NIM, 1, 5250), 18.58, 2),
    ("NIM ITL, 500 + 2000", tpot_ms(NIM, 1, 1500), 18.91, -1),
    ("NIM TTFT, 5000", ttft_ms(NIM, 5000), 406.77, 7),
    ("NIM TTFT, 500", ttft_ms(NIM, 500), 47.77, 20),
    # vLLM's own performance benchmark, build 9515, BF16 on H200: a batch of 8, 32 tokens in and
    # 128 out (buildkite.com/vllm/performance-benchmark/builds/9515). All of it, in ms.
    *(
        (
            f"vLLM {name}",
            ttft_ms(name, 32, 8) + 127 * tpot_ms(name, 8, 96),
            measured,
            off,
        )
        for name, measured, off in (
            ("llama-3.1-8b@h200", 833.4, -11),
            ("llama-3.1-70b@h200x4-tp4", 2077.5, -5),
            ("mixtral-8x7b@h200x2-tp2", 1917.4, -2),
        )
    ),
]


@pytest.mark.parametrize(("what", "computed", "measured", "off"), MEASURED)
def test_it_is_as_far_from_measurements_as_is_said(
    what: str, computed: float, measured: float, off: int
) -> None:
    assert 100 * (computed / measured - 1) == pytest.approx(off, abs=0.6), what


def test_a_text_models_config_may_stand_in_one_of_images() -> None:
    inside: Any = {"text_config": MODELS["llama-3.1-8b"], "hidden_size": 1}
    assert architecture_of(inside) == architecture_of(MODELS["llama-3.1-8b"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_hidden_layers": None}, "it has no num_hidden_layers"),
        ({"hidden_size": "wide"}, "hidden_size must be a whole number >= 1, not 'wide'"),
        ({"num_attention_heads": True}, "num_attention_heads must be a whole number"),
        ({"vocab_size": 0}, "vocab_size must be"),
        ({"num_experts": 8}, "it has no num_experts_per_tok"),
    ],
)
def test_a_config_that_lacks_something_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        architecture_of({**MODELS["llama-3.1-8b"], **change})


def test_experts_are_spread() -> None:
    eight, many = (parse_preset(f"deepseek-v3@h200x{n}").rank for n in (8, 32))
    assert eight.weight_bytes > many.weight_bytes > 17e9
    assert many.costs().base_ns < eight.costs().base_ns
    assert many.room_tokens > eight.room_tokens > 0


def test_more_devices_a_rank_are_faster_and_hold_more() -> None:
    four, eight = (parse_preset(f"llama-3.3-70b@h100x8-tp{n}").rank for n in (4, 8))
    for name in ("prefill_token_ns", "prefill_pair_ns", "context_token_ns", "base_ns"):
        assert getattr(eight.costs(), name) < getattr(four.costs(), name), name
    assert eight.room_tokens > 2 * four.room_tokens
    assert eight.transfer_bytes_per_s == 2 * four.transfer_bytes_per_s
    # A latent is on each device.
    assert parse_preset("deepseek-v3@h200x8-tp8").rank.costs().context_token_ns == (
        parse_preset("deepseek-v3@h200x8-tp1").rank.costs().context_token_ns
    )
