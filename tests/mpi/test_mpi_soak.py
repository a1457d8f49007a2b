"""One minute of the soak: everything that real ranks can have and survive, one death among it, and
nothing remains."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
ADPKV = str(Path(sys.executable).with_name("adpkv"))
REQUESTS = 1500
"""25 a second: one minute."""

BOUND_S = 240


def test_a_minute_of_the_soak(jobs, tmp_path: Path) -> None:
    out = tmp_path / "out"
    argv = [ADPKV, "run", "configs/soak.yaml", "--quiet", "--out", str(out)]
    argv += ["--set", f"workload.requests={REQUESTS}"]
    found = jobs.finish(jobs.start(argv, ROOT), BOUND_S)
    assert found.code == 0, found.err
    summary = json.loads((out / "summary.json").read_text())
    assert summary["violations"] == []
    assert summary["lost"] == [4]
    assert summary["recomputed"] > 0
    assert summary["requests"]["submitted"] == REQUESTS
    assert summary["transfers"]["quarantined_now"] == 0
    assert summary["responses"]["duplicates"] == summary["collectives"]["mismatches"] == 0
    for blocks in summary["blocks"].values():
        assert blocks["free"] + blocks["cached"] == blocks["total"]
    lines = (out / "requests.jsonl").read_text().splitlines()
    answers = Counter(json.loads(line)["request_id"] for line in lines)
    assert answers == Counter(range(REQUESTS)), "every request is answered once"
    missing = {"delay", "stall", "fail", "restart", "sigstop", "skew", "lose", "late"} - {
        kind for kind, count in summary["faults"].items() if count
    }
    assert missing == set(), "these faults never fired: it shows nothing about them"
