"""Instances of real ranks that are taken out and put in again, spares, and jobs that finish first.

All of them are in `make real`.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.real_ranks.conftest import Jobs, outlives_or_skip
from tests.real_ranks.test_mpi_health import BOUND_S, Health

ADPKV = str(Path(sys.executable).with_name("adpkv"))
SICK = {"transfer_timeout": "1s", "progress_deadline": "1500ms", "shutdown_grace": "500ms"}


def experiment(**sections: Any) -> dict[str, Any]:
    """One context rank, two generation instances of one, and a request every 50 ms."""
    often = {"at": "0s", "prompt_tokens": 64, "output_tokens": 8, "times": 160, "every": "50ms"}
    servers = {"context": {"ranks": 1}, "generation": {"instances": 2, "ranks": 1}}
    found: dict[str, Any] = {
        "name": "elastic",
        "topology": servers,
        "model": {"step_base": "5ms"},
        "workload": {"kind": "script", "requests": [often]},
    }
    return found | sections


def start(jobs: Jobs, tmp_path: Path, data: dict[str, Any]) -> subprocess.Popen[str]:
    file = tmp_path / "elastic.yaml"
    file.write_text(yaml.safe_dump(data))
    return jobs.start([ADPKV, "run", str(file), "--quiet", "--out", str(tmp_path / "out")])


def summed_up(tmp_path: Path) -> dict[str, Any]:
    """The summary, of a run that kept the contract. Each outage has its times in order."""
    found: dict[str, Any] = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert found["violations"] == []
    assert found["responses"]["duplicates"] == found["collectives"]["mismatches"] == 0
    for outage in found["outages"]:
        times = [outage[key] for key in ("from_s", "drained_s", "until_s")]
        known = [one for one in times if one is not None]
        assert known == sorted(known), outage
    return found


def records(tmp_path: Path) -> list[dict[str, Any]]:
    lines = (tmp_path / "out" / "requests.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def instances(tmp_path: Path, after_s: float) -> set[int]:
    """The decode servers of the requests that came after this time."""
    found = [r for r in records(tmp_path) if r["arrival_ns"] > after_s * 1e9]
    return {r["generation_instance"] for r in found}


def test_maintenance_a_spare_and_a_job_that_finishes_first(
    jobs: Jobs, address: str, tmp_path: Path
) -> None:
    """A spare steps in, and who comes back is the spare, and does so for that one; the only context
    instance is kept. On SIGTERM no request comes any more, and those that are open are served."""
    times = [
        {"instance": 1, "after": "300ms", "duration": "300ms"},
        {"instance": 0, "after": "400ms"},
        {"instance": 2, "after": "1s"},
    ]
    data = experiment(on_sigterm="finish", observe={"http": address, "pulse": "100ms"})
    data["topology"]["generation"]["spares"] = 1
    data["topology"]["maintenance"] = times
    (often,) = data["workload"]["requests"]
    often |= {"output_tokens": 80, "times": 4000}
    job = start(jobs, tmp_path, data)
    health = Health(address, job)
    health.until("/health/ready", 200, said=lambda found: found["out"] == ["generation-2"])
    job.send_signal(signal.SIGTERM)
    found = jobs.finish(job, BOUND_S)
    assert found.code == 143, found.err
    summary = summed_up(tmp_path)
    first, second = summary["outages"]
    assert (first["instance"], first["why"], first["spare"]) == (
        "generation-1",
        "maintenance",
        "generation-2",
    )
    assert 0.3 <= first["from_s"] < 0.6 <= first["until_s"] < 1 <= second["from_s"]
    assert (second["instance"], second["spare"]) == ("generation-2", "generation-1")
    assert (second["until_s"], second["taken"]) == (None, 0)
    [missed] = summary["maintenance_missed"]
    assert (missed["entry"], missed["instance"]) == (1, "context-0")
    asked = summary["requests"]
    assert asked["completed"] == asked["submitted"] > 0, "also those that were open"
    assert asked["never_arrived"] == 4000 - asked["submitted"] > 0


@pytest.mark.campaign
def test_a_sick_server_is_drained_and_comes_back(jobs: Jobs, tmp_path: Path) -> None:
    stuck = {"kind": "stall", "ranks": [0], "peers": [2], "count": 1, "duration": "5s"}
    data = experiment(on_instance_unhealthy="drain", transceiver=SICK, faults=[stuck])
    data["executor"] = {"drain_timeout": "300ms"}
    found = jobs.finish(start(jobs, tmp_path, data), BOUND_S)
    assert found.code == 0, found.err
    summary = summed_up(tmp_path)
    [outage] = summary["outages"]
    assert outage["instance"] == "generation-2"
    assert outage["until_s"] is not None, "healthy again"
    assert summary["requests"]["timed_out"] >= 1
    assert summary["transfers"]["quarantined_now"] == 0


@pytest.mark.campaign
def test_a_stopped_server_keeps_few_waiting(jobs: Jobs, tmp_path: Path) -> None:
    """It gets no more than it has not answered: what comes meanwhile is served by the other one. No
    transfer is stuck, so nobody is ill; and it goes on as if nothing had been."""
    stopped = {"kind": "sigstop", "ranks": [2], "after": "1s", "duration": "5s"}
    data = experiment(on_instance_unhealthy="drain", faults=[stopped])
    found = jobs.finish(start(jobs, tmp_path, data), BOUND_S)
    assert found.code == 0, found.err
    summary = summed_up(tmp_path)
    assert (summary["requests"]["completed"], summary["outages"]) == (160, [])
    waited = [r for r in records(tmp_path) if r["ended_ns"] - r["arrival_ns"] > 3e9]
    assert {r["generation_instance"] for r in waited} == {2}
    assert len(waited) < 40, "of the hundred that came while it stood"
    assert instances(tmp_path, 6.5) == {1, 2}


@pytest.mark.campaign
def test_a_spare_steps_in_for_a_killed_server(jobs: Jobs, tmp_path: Path) -> None:
    outlives_or_skip()
    killed = {"kind": "sigkill", "ranks": [1], "after": "1s"}
    data = experiment(on_rank_failure="shrink", recompute=True, faults=[killed])
    data["topology"]["generation"]["spares"] = 1
    found = jobs.finish(start(jobs, tmp_path, data), BOUND_S)
    assert found.code == 0, found.err
    summary = summed_up(tmp_path)
    assert (summary["lost"], summary["outages"]) == ([1], [])
    assert summary["requests"]["completed"] == summary["requests"]["submitted"] == 160
    assert instances(tmp_path, 0) == {1, 2}
    assert instances(tmp_path, 2) == {2}
