"""Same seed, same run, bit for bit: whoever runs it, whenever."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from adpkv.config import parse
from adpkv.worlds.virtual.run import simulate
from tests.worlds.virtual.experiments import experiment
from tests.worlds.virtual.running import run

ROOT = Path(__file__).parents[3]

DIGEST = """
import hashlib
from tests.worlds.virtual.experiments import experiment
from tests.worlds.virtual.running import run
for seed in range(10):
    print(hashlib.sha256(run(experiment(seed)).bytes).hexdigest())
"""


@pytest.mark.parametrize("seed", range(5))
def test_the_files_are_the_same(seed: int, tmp_path: Path) -> None:
    for name in ("one", "two"):
        simulate(parse(experiment(seed), "test"), out=tmp_path / name)
    for file in ("events.jsonl", "requests.jsonl", "config.yaml"):
        one, two = ((tmp_path / name / file).read_bytes() for name in ("one", "two"))
        assert one == two, file
        assert one, file


def test_another_seed_is_another_run() -> None:
    data = experiment(3)
    assert run(data).bytes == run(data).bytes
    assert run(data).bytes != run(data | {"seed": 4}).bytes


def test_the_order_of_hashes_cannot_be_seen() -> None:
    def digests(hash_seed: str) -> list[str]:
        ended = subprocess.run(
            [sys.executable, "-c", DIGEST],
            env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        return ended.stdout.split()

    assert digests("1") == digests("2")
