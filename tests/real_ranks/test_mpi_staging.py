"""Staged transfers between real ranks, in one job at which all tests look: chunks through small
slots, cancels, a transfer that is stuck for ever, and a rank that is killed in the middle."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.real_ranks.conftest import outlives_or_skip

ROOT = Path(__file__).parents[2]
ADPKV = str(Path(sys.executable).with_name("adpkv"))
BOUND_S = 60
NEVER_CANCELLED = [1, 2, 3, 4, 6, 8, 9, 11, 13, 14, 16, 17, 19, 20, 21, 22, 24, 25]
"""With this workload and seed."""


@pytest.fixture(scope="module")
def folder(shared_jobs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the job left behind."""
    outlives_or_skip()
    data = yaml.safe_load((ROOT / "configs/dead-rank.yaml").read_text())
    data["transceiver"] = {
        "staging": "on",
        "staging_slots": 4,
        "staging_slot": f"{4 * 16 * 1024}B",  # of blocks of 16 tokens; a prompt has up to 32
        "transfer_timeout": "2s",
    }
    data["executor"]["drain_timeout"] = "1s"
    data["workload"] |= {
        "requests": 100,
        "prompt_tokens": {"min": 300, "max": 512},
        "cancel": {"probability": 0.3, "delay": {"min": "10ms", "max": "150ms"}},
    }
    data["faults"] += [
        # Of a request that its client does not cancel: nothing of it was posted, so a cancel would
        # end it. And not to the rank that is killed.
        {
            "kind": "stall",
            "phase": "post",
            "requests": NEVER_CANCELLED,
            "ranks": [0],
            "peers": [3, 5],
            "count": 1,
        },
        {"kind": "delay", "phase": "post", "duration": "60ms", "probability": 0.1},
    ]
    made = tmp_path_factory.mktemp("staging")
    file, out = made / "staged.yaml", made / "out"
    file.write_text(yaml.safe_dump(data))
    command = [ADPKV, "run", str(file), "--quiet", "--out", str(out)]
    found = shared_jobs.finish(shared_jobs.start(command), BOUND_S)
    assert found.code == 0, found.err
    return out


@pytest.fixture(scope="module")
def summary(folder: Path) -> Any:
    return json.loads((folder / "summary.json").read_text())


def test_every_request_is_answered_and_every_byte_is_right(summary: Any) -> None:
    """The bytes of each prompt are compared before it is decoded, and the canaries at the end."""
    requests = summary["requests"]
    assert summary["violations"] == []
    assert summary["lost"] == [4]
    assert requests["failed"] == 0
    assert requests["cancelled"] > 10
    ended = requests["completed"] + requests["cancelled"] + requests["timed_out"]
    assert ended == requests["submitted"] == 100
    assert summary["transfers"]["bytes"] > 20 * 19 * 16 * 1024


def test_a_stuck_transfer_keeps_slots_and_no_block(summary: Any) -> None:
    living = summary["ranks"] - 1
    doubtful = summary["transfers"]["quarantined_now"]
    assert summary["faults"]["stall"] == 1
    assert doubtful in (1, 2), "its sender, and its receiver if that lives"
    assert summary["staging"] == {
        "total": 4 * living,
        "free": 4 * living - doubtful,
        "quarantined": doubtful,
    }
    for blocks in summary["blocks"].values():
        assert blocks["free"] + blocks["cached"] == blocks["total"]
