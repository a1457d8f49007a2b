"""What real receivers have already is not sent to them, and each byte that they read is right."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ADPKV = str(Path(sys.executable).with_name("adpkv"))
BOUND_S = 60
FAMILIES, TIMES = 6, 5
BLOCK_BYTES = 16 * 1024
REQUESTS = 2 * FAMILIES * TIMES

DATA: dict[str, Any] = {
    "name": "reuse",
    "topology": {"context": {"ranks": 2}, "generation": {"ranks": 2}},
    # So few blocks that some of what is kept is evicted again.
    "kv_cache": {"block_tokens": 16, "blocks": 28, "reuse_received": True},
    "router": {"policy": "prefix"},
    "model": {"step_base": "1ms"},
    "workload": {
        "kind": "script",
        "requests": [
            {
                "at": f"{10 * prefix + first}ms",
                "prompt_tokens": tokens,
                "output_tokens": 4,
                "prefix": prefix,
                "times": TIMES,
                "every": "80ms",
            }
            for prefix in range(FAMILIES)
            for first, tokens in ((0, 96), (45, 120))  # six full blocks; and seven and a half
        ],
    },
}


@pytest.mark.parametrize("staging", ["off", "on"])
def test_real_receivers_get_what_they_lack(jobs: Any, tmp_path: Path, staging: str) -> None:
    """Each prompt's bytes are compared before it is decoded and afterwards, those of the cached
    blocks too; kept blocks are compared when they are evicted, and at the end."""
    file, out = tmp_path / "reuse.yaml", tmp_path / "out"
    file.write_text(yaml.safe_dump(DATA | {"transceiver": {"staging": staging}}))
    found = jobs.finish(
        jobs.start([ADPKV, "run", str(file), "--quiet", "--out", str(out)]), BOUND_S
    )
    assert found.code == 0, found.err
    summary = json.loads((out / "summary.json").read_text())
    assert summary["violations"] == []
    assert summary["requests"]["completed"] == REQUESTS
    transfers, whole = summary["transfers"], (6 + 8) * FAMILIES * TIMES * BLOCK_BYTES
    assert transfers["bytes"] + transfers["bytes_cached"] == whole
    assert summary["rates"]["received_hit_rate"] > 0.3
    for pool in summary["blocks"].values():
        assert pool["free"] + pool["cached"] == pool["total"]
    events = [json.loads(line) for line in (out / "events.jsonl").read_text().splitlines()]
    reused = {e["request"] for e in events if e["kind"] == "reused"}
    full = {e["request"] for e in events if (e["kind"], e.get("cause")) == ("complete", "cached")}
    assert FAMILIES < transfers["cached"] == len(full) < len(reused)
    assert [e for e in events if e["request"] in full and e["kind"] == "advertised"] == []
