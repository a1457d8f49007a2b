"""Turns of a session follow the answers before them, and reuse their prefixes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from adpkv import config
from adpkv.api import load_run
from adpkv.core.ids import NEVER
from adpkv.workload.building import build
from adpkv.workload.cancels import Clients
from adpkv.workload.reading import Scaling, Sessions, read
from adpkv.workload.traces import SessionWorkload
from adpkv.worlds.virtual.run import simulate

SAMPLES = Path(__file__).parent.parent / "traces" / "samples"
MS = 1_000_000
S = 1000 * MS


def workload_of(name: str, sessions: Sessions | None = None) -> SessionWorkload:
    trace = read(SAMPLES / name, None, Scaling(), sessions=sessions)
    return SessionWorkload(trace, Clients(0), 64)


def test_a_turn_comes_after_its_answer_and_its_thought() -> None:
    workload = workload_of("burstgpt-2.csv")
    assert workload.total == 4
    assert [workload.take().at_ns for _ in range(2)] == [0, 7 * S]
    assert workload.due_ns() == NEVER
    with pytest.raises(IndexError, match="waits for an answer"):
        workload.take()
    workload.ended(8 * S, 1)  # nobody waits for this answer
    assert workload.due_ns() == NEVER
    workload.ended(10 * S, 0)
    assert workload.due_ns() == 46_500 * MS
    turn = workload.take()
    assert (turn.at_ns, turn.prompt_tokens) == (46_500 * MS, 700)
    workload.ended(50 * S, 2)
    assert workload.take().at_ns == 93 * S
    assert workload.due_ns() == NEVER
    with pytest.raises(IndexError):
        workload.take()


def test_a_think_time_that_is_given_replaces_the_traces() -> None:
    workload = workload_of("burstgpt-2.csv", Sessions(think_ns=1 * S))
    first = workload.take()
    workload.ended(first.at_ns + 2 * S, 0)
    assert workload.due_ns() == 3 * S


def _experiment(name: str, **more: Any) -> config.Experiment:
    return config.parse(
        {
            "name": "x",
            "topology": {"context": {"ranks": 1}, "generation": {"ranks": 1}},
            "kv_cache": {"block_tokens": 16, "blocks": 256},
            "workload": {"kind": "trace", "path": str(SAMPLES / name), **more},
        },
        "test",
    )


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("burstgpt-2.csv", {"speed": 10.0}),
        ("bailian.jsonl", {}),
        ("sharegpt.json", {"rate": 5.0, "think_time": "100ms"}),
        ("llmservingsim.jsonl", {}),
        ("aiperf.jsonl", {"hash_tokens": 512}),
    ],
)
def test_a_whole_run_of_it(name: str, more: dict[str, Any], tmp_path: Path) -> None:
    experiment = _experiment(name, **more)
    total = build(experiment).total
    result = simulate(experiment, out=tmp_path / "run")
    assert result.exit_code == 0
    counts = result.summary["requests"]
    assert counts["completed"] + counts["cancelled"] == total


def test_the_next_turn_reuses_the_prefix_and_waits_for_the_answer(tmp_path: Path) -> None:
    experiment = _experiment("burstgpt-2.csv", speed=10.0)
    result = simulate(experiment, out=tmp_path / "run")
    by_prompt = {one.prompt_tokens: one for one in load_run(tmp_path / "run").requests}
    first, turn = by_prompt[400], by_prompt[700]
    assert turn.arrival_ns == first.ended_ns + 3_650 * MS
    # The first turn's full blocks, of the prompt of the second; the third began anew.
    assert result.summary["rates"]["prefix_hit_rate"] == pytest.approx(400 / (400 + 80 + 700 + 50))
