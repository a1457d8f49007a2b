"""The timeline of a real job of which a rank is killed: all ranks' records make one trace."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import pytest

from adpkv.output import RunFolder
from adpkv.timeline.reader import Joined, Sent, open_records
from adpkv.timeline.writing import write_trace
from tests.real_ranks.conftest import Jobs, outlives_or_skip
from tests.timeline.readback import read_trace

pytest.importorskip("perfetto", reason="without perfetto: pip install 'adpkv[timeline]'")

BOUND_S = 60
KILLED = 4


def test_a_job_with_a_killed_rank_is_shown_whole(jobs: Jobs, tmp_path: Path) -> None:
    outlives_or_skip()
    folder = tmp_path / "run"
    settings = [
        "observe.timeline=true",
        "topology.context.ranks=2",
        f"faults=[{{kind: sigkill, ranks: [{KILLED}], after: 700ms}}]",
        "workload.requests=100",
    ]
    argv = [sys.executable, "-m", "adpkv", "run", "dead-rank", "--quiet", "--out", str(folder)]
    for one in settings:
        argv += ["--set", one]
    done = jobs.finish(jobs.start(argv), BOUND_S)
    assert done.code == 0, done.err
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["lost"] == [KILLED]

    readers = open_records(RunFolder(folder))
    joined = [one for reader in readers for one in reader if isinstance(one, Joined)]
    assert {one.rank for one in joined} == set(range(5))
    steps = [one for one in joined if one.kind == "step" and one.rank < 2]
    assert any(one.batch[0] for one in steps)
    assert all(one.begin_ns <= one.ready_ns <= one.end_ns for one in steps)
    sent = [one for reader in readers for one in reader if isinstance(one, Sent)]
    # What the coordinator sends to a leader is read there, under the same name and request.
    admits = Counter(
        (one.request, one.to is None) for one in sent if one.name == "Admit" and one.owner <= 2
    )
    assert admits

    found = read_trace(write_trace(RunFolder(folder)).path)
    ranks = {track: name for track, name in found.names.items() if name.startswith("rank ")}
    made = Counter(ranks[one.track] for one in found.of("step") if one.name == "step")
    assert {made["rank 0"], made["rank 1"]} == {summary["utilisation"]["context-0"]["steps"]}
    assert {ranks.get(one.track) for one in found.unfinished} <= {f"rank {KILLED}", None}
    outcomes = Counter(one.args["outcome"] for one in found.of("request") if one.depth == 0)
    assert outcomes["completed"] == summary["requests"]["completed"]
    whole = [
        one.end_ns - one.begin_ns
        for one in found.of("request")
        if one.depth == 0 and one.args["outcome"] == "completed"
    ]
    mean_s = summary["latency"]["e2e_s"]["mean"]
    assert sum(whole) / len(whole) / 1e9 == pytest.approx(mean_s, rel=1e-9)
    here = [one for one in found.instants if one.name == "KV is here" and one.ends]
    assert len(here) >= 90
    assert found.of("imbalance")
    assert any(one.name == "rank_lost" for one in found.instants)
