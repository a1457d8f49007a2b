"""A run that jumps over quiet stretches equals one that does not, to the nanosecond; and every
run of every seed keeps the contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from adpkv.config import load
from adpkv.config.experiment import Experiment
from adpkv.worlds.virtual.run import simulate
from tests.worlds.virtual.experiments import experiment, replay
from tests.worlds.virtual.running import examine
from tests.worlds.virtual.seeds import batch, batches

ROOT = Path(__file__).parents[3]
TRACE = ROOT.parent / "shared" / "traces" / "conversation_trace.jsonl"


@pytest.mark.parametrize("first", batches(0, 640))
def test_random_experiments(first: int) -> None:
    wrong = {}
    for seed in batch(first):
        found = examine(experiment(seed), eager=seed % 2 == 0)
        if found:
            wrong[replay(seed)] = found
    assert not wrong


def _both(loaded: Experiment, folder: Path) -> None:
    jumped = simulate(loaded, out=folder / "jumped")
    stepped = simulate(loaded, out=folder / "stepped", jump=False)
    for name in ("events.jsonl", "requests.jsonl"):
        one, other = (folder / way / name for way in ("jumped", "stepped"))
        assert one.read_bytes() == other.read_bytes(), name
    assert jumped.exit_code == stepped.exit_code == 0
    for key in ("simulated_s", "requests", "transfers", "blocks", "latency", "health"):
        assert jumped.summary[key] == stepped.summary[key], key
    assert jumped.summary["violations"] == []
    assert jumped.summary["iterations"] < stepped.summary["iterations"]  # type: ignore[operator]


def _conversation(limit: int | None) -> Experiment:
    if not TRACE.is_file():
        pytest.skip("the shared conversation trace is not beside this repository")
    overrides = [f"workload.path={TRACE}"]
    if limit is not None:
        overrides.append(f"workload.limit={limit}")
    return load(ROOT / "configs" / "conversation.yaml", overrides)


def test_a_slice_of_the_conversation_trace(tmp_path: Path) -> None:
    _both(_conversation(400), tmp_path)


@pytest.mark.slow
def test_the_whole_conversation_trace(tmp_path: Path) -> None:
    _both(_conversation(None), tmp_path)


@pytest.mark.parametrize(
    "file",
    [
        "quickstart.yaml",
        "closed-loop.yaml",
        "dead-rank.yaml",
        "four-ranks.yaml",
        "replicated.yaml",
        "trace-sample.yaml",
    ],
)
def test_shipped_experiments(file: str, tmp_path: Path) -> None:
    _both(load(ROOT / "configs" / file), tmp_path)
