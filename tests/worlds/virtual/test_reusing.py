"""Receivers that keep what they got: a run that jumps equals one that does not, and every run of
every seed keeps the contract."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from tests.worlds.virtual.experiments import (
    experiment,
    mortal,
    replay,
    replicated,
    reusing,
    staged,
    surviving,
)
from tests.worlds.virtual.running import examine, run
from tests.worlds.virtual.seeds import batch, batches


@pytest.mark.parametrize("first", batches(0, 160))
def test_random_experiments(first: int) -> None:
    """One kind of experiment for each seed, in turn: with ADP, without, with ranks that fail; every
    third one with staging."""
    wrong = {}
    for seed in batch(first):
        kinds = (
            experiment(seed),
            replicated(seed),
            mortal(experiment(seed)),
            mortal(replicated(seed)),
            surviving(experiment(seed)),
        )
        data = reusing(kinds[seed % len(kinds)])
        found = examine(staged(data) if seed % 3 == 0 else data, eager=seed % 4 == 0)
        if found:
            wrong[replay(seed)] = found
    assert not wrong


def test_they_reuse() -> None:
    """Or the seeds say nothing."""
    transfers = [run(reusing(experiment(seed))).summary["transfers"] for seed in range(5, 12)]
    assert sum(one["bytes_cached"] > 0 for one in transfers) >= 3
    assert any(one["cached"] for one in transfers)


def test_a_trace_may_have_any_ids(tmp_path: Path) -> None:
    """One in two places of a prompt, or behind two prefixes: it is no prefix hash."""
    draw = random.Random(1)
    lines = []
    for at in range(60):
        ids = [draw.randint(0, 5) for _ in range(draw.randint(1, 3))]
        line = {"input_length": 512 * len(ids), "output_length": 5, "hash_ids": ids}
        lines.append(json.dumps({"timestamp": 40 * at, **line}))
    (tmp_path / "t.jsonl").write_text("\n".join(lines))
    data: dict[str, Any] = {
        "name": "ids",
        "topology": {"context": {"ranks": 2}, "generation": {"ranks": 2}},
        "workload": {"kind": "trace", "path": str(tmp_path / "t.jsonl")},
    }
    for received in (False, True):
        data["kv_cache"] = {"block_tokens": 64, "blocks": 40, "reuse_received": received}
        assert not examine(data)
