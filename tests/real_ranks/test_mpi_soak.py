"""The soak in small: everything that real ranks can have and survive, one failure among it, and
nothing remains."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
ADPKV = str(Path(sys.executable).with_name("adpkv"))
REQUESTS = 275
"""25 a second: eleven seconds."""

SOONER = 6
"""So many times sooner than in the soak comes what has its time in the first minute; what comes
after that is left out, however slow the machine is."""

MINUTE_S = 60

BOUND_S = 240


def hastened(folder: Path) -> Path:
    """The soak with its first minute in a sixth of it."""
    data = yaml.safe_load((ROOT / "configs/soak.yaml").read_text())
    data["workload"]["requests"] = REQUESTS
    data["faults"] = [fault for fault in data["faults"] if _seconds(fault) < MINUTE_S]
    for fault in data["faults"]:
        for key in {"after", "before"} & set(fault):
            fault[key] = f"{_seconds(fault, key) * 1000 // SOONER}ms"
    file = folder / "soak.yaml"
    file.write_text(yaml.safe_dump(data))
    return file


def _seconds(fault: dict[str, str], key: str = "after") -> int:
    return int(fault.get(key, "0s").removesuffix("s"))


def test_the_soak_in_small(jobs, tmp_path: Path) -> None:
    out = tmp_path / "out"
    argv = [ADPKV, "run", str(hastened(tmp_path)), "--quiet", "--out", str(out)]
    found = jobs.finish(jobs.start(argv), BOUND_S)
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
