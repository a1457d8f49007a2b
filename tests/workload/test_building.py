"""From a configuration to its workload: every option arrives where it belongs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from adpkv import config
from adpkv.core.ids import NEVER
from adpkv.errors import TraceError
from adpkv.workload import Arrival, Workload, build

DRAWN: dict[str, Any] = {
    "requests": 30,
    "prompt_tokens": {"min": 200, "max": 300},
    "output_tokens": {"min": 2, "max": 5},
}
LINE = '{"timestamp": 1000, "input_length": 600, "output_length": 20, "hash_ids": [1, 2]}\n'


def _build(workload: dict[str, Any], **more: Any) -> Workload:
    sections = {
        "name": "x",
        "seed": 3,
        "topology": {"context": {"ranks": 2}, "generation": {"ranks": 3}},
        "kv_cache": {"block_tokens": 32, "blocks": 200},
        "workload": workload,
    }
    return build(config.parse({**sections, **more}, "test"))


def _all(workload: Workload) -> list[Arrival]:
    taken = []
    while workload.due_ns() < NEVER:
        taken.append(workload.take())
        workload.ended(taken[-1].at_ns, len(taken) - 1)
    return taken


def test_a_poisson_workload() -> None:
    taken = _all(_build({"kind": "poisson", "rate": 10.0, **DRAWN}))
    assert len(taken) == 30
    assert taken[-1].at_ns > 0
    assert all(200 <= a.prompt_tokens <= 300 and 2 <= a.output_tokens <= 5 for a in taken)


def test_a_closed_loop_with_its_users_and_their_thinking() -> None:
    workload = _build({"kind": "closed_loop", "users": 2, "think_time": "3s", **DRAWN})
    assert [workload.take().at_ns for _ in range(2)] == [0, 0]
    workload.ended(1, 0)
    assert workload.due_ns() == 3_000_000_001


def test_a_shared_prefix_is_shared() -> None:
    prefix = {"shared_prefix": {"groups": 1, "tokens": 64}}
    taken = _all(_build({"kind": "poisson", "rate": 10.0, **DRAWN, **prefix}))
    assert len({a.block_hashes[:2] for a in taken}) == 1
    assert len({a.block_hashes[:3] for a in taken}) == 30


def test_cancels_and_pins_reach_the_requests() -> None:
    clients = {
        "cancel": {"probability": 1.0, "delay": {"min": "1ms", "max": "2ms"}},
        "pinned": 1.0,
    }
    taken = _all(_build({"kind": "poisson", "rate": 10.0, **DRAWN, **clients}))
    assert all(1_000_000 <= a.cancel_ns <= 2_000_000 for a in taken)
    assert {a.wanted for a in taken} == {0, 1}, "the smaller group has two ranks"


def test_the_packaged_sample_is_called_sample() -> None:
    taken = _all(_build({"kind": "trace", "path": "sample", "limit": 7, "speed": 2.0}))
    assert len(taken) == 7
    assert all(len(a.block_hashes) == a.prompt_tokens // 32 for a in taken)


def test_a_trace_with_every_option(tmp_path: Path) -> None:
    file = tmp_path / "t.jsonl"
    file.write_text(LINE * 3)
    options = {"limit": 2, "speed": 2.0, "prompt_scale": 0.5, "output_scale": 0.5}
    taken = _all(_build({"kind": "trace", "path": str(file), **options}))
    assert [(a.at_ns, a.prompt_tokens, a.output_tokens) for a in taken] == [
        (500_000_000, 300, 10)
    ] * 2
    assert taken[0].block_hashes == tuple(range(16, 25))


def test_the_pool_and_the_transfer_bound_a_trace(tmp_path: Path) -> None:
    file = tmp_path / "t.jsonl"
    file.write_text(LINE)
    trace = {"kind": "trace", "path": str(file)}
    assert _build(trace, kv_cache={"block_tokens": 32, "blocks": 21}).total == 1
    with pytest.raises(TraceError, match=r"t\.jsonl:1:\d+: .*needs 20 blocks.*has 19 "):
        _build(trace, kv_cache={"block_tokens": 32, "blocks": 20})
    with pytest.raises(TraceError, match=r"t\.jsonl:1:\d+: .*transfer of 19 blocks.*is 18"):
        _build(trace, transceiver={"max_inflight_blocks_per_peer": 18})
