"""Requests whose output ends early, or of which only the prompt is wanted."""

from __future__ import annotations

from typing import Any

import msgspec

from adpkv.workload.port import Arrival
from tests.scenarios.story import arrival, setting, tell

ROOM: dict[str, Any] = {"kv_cache": {"block_tokens": 16, "blocks": 9}}
"""Room for one request of 96 + 32 tokens."""

CACHE: dict[str, Any] = {"kv_cache": {"block_tokens": 16, "blocks": 64, "reuse": True}}


def ends_early(at_ms: int, tokens: int, output: int = 32) -> Arrival:
    return msgspec.structs.replace(arrival(at_ms, 96, output), stops_after=tokens)


def test_output_ends_with_the_token_that_says_so() -> None:
    told = tell(setting("short-outputs", 1, 1), [ends_early(40 * i, i) for i in range(4)])
    assert told.outcomes == ["completed"] * 4
    records = [told.record(i) for i in range(4)]
    assert [(r.tokens, r.output_tokens) for r in records] == [(i, 32) for i in range(4)]
    assert [r.generation_rank for r in records] == [-1, -1, 1, 1], "nothing is left to decode"
    assert [r.first_token_ns < 0 for r in records] == [True, False, False, False]
    assert told.summary["transfers"]["completed"] == 2
    assert told.summary["rates"]["output_tokens_per_s"] > 0


def test_of_a_request_without_output_the_prompt_is_computed_and_cached() -> None:
    hashes = tuple(range(6))
    asked = Arrival(0, 96, 0, hashes)
    again = msgspec.structs.replace(asked, at_ns=60_000_000)
    told = tell(setting("no-output", 1, 1, **CACHE), [asked, again])
    assert told.outcomes == ["completed", "completed"]
    assert [told.record(i).tokens for i in (0, 1)] == [0, 0]
    [cached] = [e[4]["cached"] for e in told.events(1) if e[2] == "prefill_began"]
    assert cached == 80, "all blocks but the last, which is always computed"
    assert told.summary["latency"]["ttft_s"]["p50"] is None
    assert told.summary["latency"]["e2e_s"]["p50"] > 0


def test_room_is_made_for_all_tokens_and_is_back_with_the_last() -> None:
    """Nobody knows that the first request will end early: the second one waits for its blocks, and
    gets them as soon as that is known."""
    told = tell(setting("room", 1, 1, **ROOM), [ends_early(0, 4), ends_early(0, 4)])
    assert told.outcomes == ["completed", "completed"]
    second = told.at_ns("queued", 1, 1)
    assert second >= told.at_ns("responded", 0, 1)
    assert told.record(1).block_wait_ns > 0
