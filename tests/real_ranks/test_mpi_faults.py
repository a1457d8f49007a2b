"""Faults of messages, transport and process under real ranks: survived, counted, or bounded."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
ADPKV = str(Path(sys.executable).with_name("adpkv"))
BOUND_S = 60

CALM = {
    "kind": "poisson",
    "rate": 20,
    "requests": 20,
    "prompt_tokens": {"min": 16, "max": 256},
    "output_tokens": {"min": 4, "max": 16},
}
"""About a second; nobody cancels, so that what is not completed was a fault's doing."""


def ran(
    jobs: Any,
    tmp_path: Path,
    *faults: dict[str, Any],
    workload: dict[str, Any] = CALM,
    **sections: Any,
) -> Any:
    """Run the four ranks with faults; how they ended, and their summary if they left one."""
    data = yaml.safe_load((ROOT / "configs/four-ranks.yaml").read_text())
    data["workload"] = workload
    for name, section in sections.items():
        data[name] = data.get(name, {}) | section
    data["faults"] = list(faults)
    file, out = tmp_path / "faulty.yaml", tmp_path / "out"
    file.write_text(yaml.safe_dump(data))
    found = jobs.finish(
        jobs.start([ADPKV, "run", str(file), "--quiet", "--out", str(out)]), BOUND_S
    )
    summary = out / "summary.json"
    return found, json.loads(summary.read_text()) if summary.exists() else None


def survived(found: Any, summary: Any) -> None:
    assert found.code == 0, found.err
    assert summary["violations"] == []
    assert summary["unfired"] == []
    assert summary["transfers"]["quarantined_now"] == 0
    for blocks in summary["blocks"].values():
        assert blocks["free"] + blocks["cached"] == blocks["total"]


def test_a_stopped_process_costs_nothing_but_time(jobs, tmp_path: Path) -> None:
    stop = {"kind": "sigstop", "after": "300ms", "duration": "1500ms"}
    found, summary = ran(
        jobs,
        tmp_path,
        {**stop, "ranks": [2]},
        {**stop, "ranks": [0], "phase": "wait", "duration": "1s"},
    )
    survived(found, summary)
    assert "adpkv" not in found.err, "nobody takes it for a hang, whose timeout is 30 s"
    assert summary["faults"] == {"sigstop": 2}
    assert summary["requests"]["completed"] == summary["requests"]["submitted"] == 20
    events = [json.loads(line) for line in (tmp_path / "out/events.jsonl").open()]
    at_ns = next(e["at_ns"] for e in events if e["kind"] == "fault" and e["rank"] == 2)
    meanwhile = [e for e in events if e["rank"] == 2 and at_ns < e["at_ns"] < at_ns + 1_400_000_000]
    assert meanwhile == [], "it did nothing while it was stopped"


def test_messages_that_is_said_twice_or_late_or_in_another_order(jobs, tmp_path: Path) -> None:
    found, summary = ran(
        jobs,
        tmp_path,
        {"kind": "duplicate", "requests": [0, 5, 10, 15]},
        {"kind": "late", "duration": "50ms", "requests": [1, 6, 11, 16]},
        {"kind": "reorder", "duration": "50ms", "requests": [2, 7, 12, 17]},
        {"kind": "former_owner"},
        {"kind": "skew", "duration": "200ms", "after": "300ms"},
    )
    survived(found, summary)
    assert summary["requests"]["completed"] == 20
    assert all(count > 0 for count in summary["faults"].values())
    assert summary["transfers"]["late"] > 0


def test_lost_messages_end_with_a_proof_and_refused_blocks_cost_their_request_alone(
    jobs, tmp_path: Path
) -> None:
    """Where a message is lost the receiver gives up; its cancel finds a sender that was never
    asked."""
    found, summary = ran(
        jobs,
        tmp_path,
        {"kind": "lose", "phase": "advertise", "requests": [3, 7]},
        {"kind": "refuse_registration", "requests": [4, 11]},
        transceiver={"transfer_timeout": "300ms"},
    )
    survived(found, summary)
    assert summary["faults"]["refuse_registration"] == 2
    assert summary["requests"]["timed_out"] == 2
    assert summary["requests"]["failed"] == 2
    assert summary["requests"]["completed"] == 16


AROUND_2S = {
    "kind": "script",
    "requests": [
        {"at": "0s", "prompt_tokens": 64, "output_tokens": 8, "times": 8},
        {"at": "3200ms", "prompt_tokens": 64, "output_tokens": 8, "times": 12},
    ],
}
"""Some requests whose transfers a restart after 2 s meets, and some that come after it."""


def test_a_transport_that_restarts_is_used_again(jobs, tmp_path: Path) -> None:
    """Whatever the first lot has to transfer waits for the first contact until after the restart,
    and has 2 s to come so far: a loaded machine needed more than the 0.4 s that it had once."""
    found, summary = ran(
        jobs,
        tmp_path,
        {"kind": "restart", "after": "2s", "duration": "100ms", "ranks": [1, 2]},
        {"kind": "slow_first_contact", "duration": "3s"},
        {"kind": "handle_error", "phase": "expect", "requests": [15]},
        workload=AROUND_2S,
    )
    survived(found, summary)
    assert summary["faults"]["restart"] == 2
    failed = set()
    for line in (tmp_path / "out/requests.jsonl").open():
        one = json.loads(line)
        number, outcome = one["request_id"], one["outcome"]
        met = number < 8 and (one["context_rank"] == 1 or one["generation_rank"] == 2)
        assert outcome == ("failed" if met or number == 15 else "completed"), one
        failed |= {number} if outcome == "failed" else set()
    assert summary["requests"]["failed"] == len(failed) > 4
    assert summary["requests"]["completed"] == 20 - len(failed)


def test_a_killed_process_ends_the_job_with_its_name_and_every_answer(jobs, tmp_path: Path) -> None:
    found, summary = ran(jobs, tmp_path, {"kind": "sigkill", "ranks": [3], "after": "300ms"})
    assert found.code == 5, found.err
    assert (summary["outcome"], summary["lost"]) == ("rank_lost", [3])
    assert summary["violations"] == []
    submitted = summary["requests"]["submitted"]
    assert submitted + summary["requests"]["never_arrived"] == 20
    assert sum(summary["requests"].values()) == submitted + 20
    assert not list((tmp_path / "out").glob("*.part"))
    events = [json.loads(line) for line in (tmp_path / "out" / "events.jsonl").open()]
    last = [event for event in events if event["rank"] == 3][-1]
    assert (last["kind"], last["fault"]) == ("fault", "sigkill"), "it told before"
