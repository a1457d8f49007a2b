"""Scenarios 1, 5, 11 and 12 under 8 real ranks, and one experiment in both worlds."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from adpkv.core.record import RequestRecord
from adpkv.core.report import RankReport
from tests.scenarios.both_worlds import STORIES, Met, Seen

ROOT = Path(__file__).parents[2]
ADPKV = str(Path(sys.executable).with_name("adpkv"))
RANKS = 8
BOUND_S = 60
"""Beyond anything that a loaded machine makes of stories of a few seconds."""

SHORT = ("workload.requests=60", "workload.rate=60", "model.step_base=5ms")
"""What makes the quickstart one."""


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def records(out: Path) -> list[RequestRecord]:
    """Of each request the columns add up to its time, on real clocks too."""
    found = [msgspec.convert(line, RequestRecord) for line in lines(out / "requests.jsonl")]
    for record in found:
        assert min(record.columns()) >= 0
        assert sum(record.columns()) == record.ended_ns - record.arrival_ns
        assert (record.lost_attempts_ns > 0) <= (record.responses == 0 or record.recomputed > 0)
    return found


def seen_in(folder: Path) -> Seen:
    """What a run has left behind, as the virtual world's is seen."""
    out = folder / "out"
    decode = msgspec.json.Decoder(tuple[tuple[RankReport, ...], list[Met]]).decode
    found = [decode((folder / f"trace.{rank}.json").read_bytes()) for rank in range(RANKS)]
    reports = found[0][0]
    assert all(other == reports for other, _ in found), "each rank has everybody's report"
    events = [
        (e.pop("at_ns"), e.pop("rank"), e.pop("kind"), e.pop("request"), e)
        for e in lines(out / "events.jsonl")
    ]
    return Seen(
        json.loads((out / "summary.json").read_text()),
        records(out),
        events,
        reports,
        {rank: trace for rank, (_, trace) in enumerate(found)},
    )


@pytest.mark.parametrize("name", STORIES)
def test_under_real_ranks(program, name: str, tmp_path: Path) -> None:
    story = STORIES[name]()
    found = program("story", RANKS, name, str(tmp_path), timeout_s=BOUND_S)
    assert found.code == story.code, found.err
    assert "Traceback" not in found.err
    story.check(seen_in(tmp_path))


def adpkv(jobs, command: str, file: Path, out: Path, *sets: str):
    argv = [ADPKV, command, str(file), "--quiet", "--out", str(out)]
    for one in sets:
        argv += ["--set", one]
    return jobs.finish(jobs.start(argv), BOUND_S)


def keys(value: Any) -> Any:
    """The shape of a summary: its keys all the way down."""
    return {key: keys(inner) for key, inner in value.items()} if isinstance(value, dict) else None


def test_one_experiment_in_both_worlds(jobs, tmp_path: Path) -> None:
    shapes, asked = [], []
    for command, world in (("run", "mpi"), ("simulate", "virtual")):
        out = tmp_path / world
        found = adpkv(jobs, command, ROOT / "configs/quickstart.yaml", out, *SHORT)
        assert found.code == 0, found.err
        summary = json.loads((out / "summary.json").read_text())
        assert (summary["world"], summary["outcome"]) == (world, "completed")
        assert summary["violations"] == []
        assert summary["transfers"]["quarantined_now"] == 0
        assert summary["responses"]["duplicates"] == summary["collectives"]["mismatches"] == 0
        for blocks in summary["blocks"].values():
            assert blocks["free"] + blocks["cached"] == blocks["total"]
        served = sorted(records(out), key=lambda record: record.request_id)
        refused = [r for r in served if r.outcome != "completed" and r.cancelled_ns < 0]
        assert refused == [], "every request was completed that no client cancelled"
        shapes.append(keys(summary))
        asked.append([(r.request_id, r.prompt_tokens, r.output_tokens) for r in served])
    assert shapes[0] == shapes[1]
    assert asked[0] == asked[1], "the same clients asked for the same"


def test_faults_of_the_file_end_an_ill_job(jobs, tmp_path: Path) -> None:
    """Through `adpkv run` and its launcher: the code, and complete files."""
    data = yaml.safe_load((ROOT / "configs/four-ranks.yaml").read_text())
    data["executor"]["drain_timeout"] = "200ms"
    data["transceiver"] |= {
        "transfer_timeout": "500ms",
        "progress_deadline": "800ms",
        "shutdown_grace": "400ms",
    }
    data["workload"]["requests"] = 100_000
    data["faults"] = [{"kind": "stall", "ranks": [1], "count": 1}]
    file, out = tmp_path / "ill.yaml", tmp_path / "out"
    file.write_text(yaml.safe_dump(data))
    found = adpkv(jobs, "run", file, out)
    assert found.code == 75, found.err
    assert sorted(path.name for path in out.iterdir()) == [
        "config.yaml", "events.jsonl", "ranks.jsonl", "requests.jsonl", "summary.json",
    ]  # fmt: skip
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["outcome"], summary["exit_code"]) == ("unhealthy", 75)
    assert summary["violations"] == []
    assert summary["transfers"]["quarantined_now"] == 2
    served = records(out)
    assert sorted(record.request_id for record in served) == list(range(len(served)))
    assert len(served) == summary["requests"]["submitted"] < 100_000
    assert [r.outcome for r in served].count("timed_out") == 1
