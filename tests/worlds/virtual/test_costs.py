"""Costs of less than a nanosecond a token, and of nothing at all: jumping changes no outcome."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from adpkv.config import parse
from adpkv.errors import EndOfTimeError
from adpkv.worlds.virtual.run import simulate
from tests.worlds.virtual.experiments import experiment, replay
from tests.worlds.virtual.running import differences, examine, run
from tests.worlds.virtual.seeds import batch, batches

COSTS = ("0.1ns", "0.5ns", "1.25ns", "12.5ns", "0.000001ns", "333.003ns", "0s")


def fine(seed: int) -> dict[str, Any]:
    """The experiment of a seed, with costs that are fractions."""
    data, draw = experiment(seed), Random(f"fine {seed}")
    for key in ("per_prefill_token", "per_prefill_pair", "per_sequence", "per_context_token"):
        data["model"][key] = draw.choice(COSTS)
    # Nothing hides a nanosecond: without a base, steps may take less than one.
    data["model"]["step_base"] = draw.choice(("0s", "1ns", "1us", "1ms"))
    data["model"]["collective"] = draw.choice(("1ns", "40us"))
    return data


@pytest.mark.parametrize("first", batches(0, 80))
def test_fractions_of_a_nanosecond(first: int) -> None:
    wrong = {}
    for seed in batch(first):
        found = examine(fine(seed))
        if found:
            wrong[replay(seed)] = found
    assert not wrong


def decoding(output_tokens: int, **more: Any) -> dict[str, Any]:
    """One request that decodes for long."""
    free = dict.fromkeys(
        ("step_base", "per_prefill_token", "per_prefill_pair", "per_sequence"), "0s"
    )
    return {
        "name": "decoding",
        "topology": {"context": {"ranks": 1}, "generation": {"ranks": 1}},
        "model": {**free, "per_context_token": "0s", "collective": "0s", **more},
        "workload": {
            "kind": "script",
            "requests": [{"at": "0s", "prompt_tokens": 64, "output_tokens": output_tokens}],
        },
    }


def test_a_long_answer_costs_what_its_steps_cost_rounded_one_by_one() -> None:
    data = decoding(1001, per_context_token="0.3ns")
    jumped, stepped = run(data), run(data, jump=False)
    assert differences(jumped, stepped) == []
    (record,) = jumped.records
    # The k-th of 1000 steps reads 65 + k tokens of KV; 3k/10 is never half a nanosecond from two.
    steps_ns = sum((3 * (65 + k) + 5) // 10 for k in range(1000))
    rounded_at_the_end_ns = (3 * sum(65 + k for k in range(1000)) + 5) // 10
    assert steps_ns != rounded_at_the_end_ns
    began = next(e[0] for e in jumped.events if e[2] == "complete" and e[1] == 1)
    ended = next(e[0] for e in jumped.events if e[2] == "responded" and e[1] == 1)
    assert ended - began == steps_ns
    assert record.tokens == 1001


def prefilling(prompt_tokens: int) -> dict[str, Any]:
    """A prompt that is computed a token a step."""
    data = decoding(2)
    data["workload"]["requests"][0]["prompt_tokens"] = prompt_tokens
    return data | {"executor": {"token_budget": 1}}


@pytest.mark.parametrize("data", [decoding(12_000), prefilling(12_000)], ids=["decode", "prefill"])
def test_steps_that_cost_nothing_are_progress_jumped_or_not(data: dict[str, Any]) -> None:
    jumped, stepped = run(data), run(data, jump=False)
    assert differences(jumped, stepped) == []
    assert jumped.exit_code == 0


def test_a_run_that_goes_on_for_longer_than_the_largest_time_is_told() -> None:
    """Each limit by itself is a time, and what a run must reach too: only the sum here is none."""
    data = decoding(2)
    data["workload"]["requests"][0]["at"] = "87600h"
    with pytest.raises(EndOfTimeError, match="87600 h of virtual time, which is the longest run"):
        run(data)
    assert EndOfTimeError.exit_code == 2


def test_a_run_that_the_end_of_time_cuts_off_keeps_its_folder(tmp_path: Path) -> None:
    """It was accepted and went on until then: no half of its files is taken away."""
    data = decoding(2)
    data["workload"]["requests"][0]["at"] = "87600h"
    with pytest.raises(EndOfTimeError):
        simulate(parse(data, "test"), out=tmp_path / "out")
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert left == {"config.yaml", "events.jsonl", "ranks.jsonl", "requests.jsonl", "summary.json"}
    said = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert said["exit_code"] == 2
    assert "longest run" in said["broken_off"]["why"]
