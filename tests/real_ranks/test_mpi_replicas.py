"""Replicated requests on four real ranks: two of each kind."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import msgspec

from adpkv.core.record import RequestRecord

ROOT = Path(__file__).parents[2]
ADPKV = str(Path(sys.executable).with_name("adpkv"))
BOUND_S = 60
"""Beyond anything that a loaded machine makes of a run of a few seconds."""


def outcomes(out: Path) -> list[str]:
    lines = (out / "requests.jsonl").read_text().splitlines()
    records = [msgspec.json.decode(line, type=RequestRecord) for line in lines]
    return [str(r.outcome) for r in sorted(records, key=lambda r: r.request_id)]


def clean(out: Path) -> dict[str, object]:
    """The summary of a run in which nothing was left behind."""
    summary: dict[str, object] = json.loads((out / "summary.json").read_text())
    assert (summary["violations"], summary["exit_code"]) == ([], 0)
    for blocks in summary["blocks"].values():  # type: ignore[attr-defined]
        assert blocks["free"] + blocks["cached"] == blocks["total"]
    return summary


def test_the_shipped_experiment(jobs, tmp_path: Path) -> None:
    out = tmp_path / "out"
    argv = [ADPKV, "run", str(ROOT / "configs/replicated.yaml"), "--quiet", "--out", str(out)]
    found = jobs.finish(jobs.start(argv), BOUND_S)
    assert found.code == 0, found.err
    summary = clean(out)
    requests, transfers = summary["requests"], summary["transfers"]
    assert requests["submitted"] == 40  # type: ignore[index]
    assert set(outcomes(out)) <= {"completed", "cancelled"}
    # Each rank of a pair fetches its shard; a cancelled one may have been there already.
    assert transfers["completed"] >= 2 * requests["completed"]  # type: ignore[index]


def test_4_a_deadline_that_passes_on_one_rank(program, tmp_path: Path) -> None:
    found = program("replicas", 4, "contract", str(tmp_path / "out"), timeout_s=BOUND_S)
    assert found.code == 0, found.err
    clean(tmp_path / "out")
    assert outcomes(tmp_path / "out") == ["completed", "timed_out"]


def test_4_unreduced_ranks_compute_different_batches(program, tmp_path: Path) -> None:
    found = program("replicas", 4, "unreduced", str(tmp_path / "out"), timeout_s=BOUND_S)
    assert found.code == 3, found.err
    assert found.err.count("argument mismatch in generation-1") == 1
    # At r1 at the latest; if its ranks take in r0's shards an iteration apart, at r0 already.
    told = " ".join(found.err.split("why")[0].split())
    batches = dict(re.findall(r"rank ([23]) brings the batch (.*?)(?:;|$)", told))
    assert sorted(batches) == ["2", "3"], told
    assert batches["2"] != batches["3"]
    assert "Traceback" not in found.err
