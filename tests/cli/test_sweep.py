"""`adpkv sweep`: what it prints, what it refuses before anything runs, and how it goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.forked import adpkv

MAIN = "from adpkv.cli.app import main; main()"
SMALL = ("--set", "workload.requests=6")


def started(folder: Path, *argv: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", MAIN, "sweep", *argv],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=os.environ | {"PYTHONSAFEPATH": ""},
    )


def sweep(folder: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    return adpkv(folder, "sweep", *argv)


def test_points_are_shown_and_kept(tmp_path: Path) -> None:
    done = sweep(
        tmp_path,
        "quickstart",
        *SMALL,
        *("--vary", "workload.rate=10..20+10", "--vary", "kv_cache.blocks=512"),
        *("--seeds", "2", "--show", "ttft_p99", "--show", "goodput", "--keep"),
    )
    assert done.returncode == 0, done.stderr
    head, first, _, *said = done.stdout.splitlines()
    assert head.split() == ["rate", "blocks", "ttft", "p99", "goodput/s", "outcome"]
    assert first.split()[:2] == ["10", "512"]
    assert first.split()[-2:] == ["-", "completed"]
    assert said[0] == "each figure is the mean over 2 seeds"
    assert said[1].startswith("4 of 4 runs in ")
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.startswith("quickstart-sweep-")
    assert sorted(path.name for path in (folder / "runs").iterdir())[0] == "point-1-seed-1"
    assert (folder / "runs" / "point-1-seed-1" / "events.jsonl").exists()


def test_a_section_of_the_file_says_the_same(tmp_path: Path) -> None:
    done = sweep(
        tmp_path,
        "quickstart",
        *SMALL,
        *("--set", "sweep={vary: {workload.rate: '10..20+10'}, seeds: 2}"),
        *("--out", "here", "--json", "--quiet"),
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["folder"], said["axes"], said["total"]) == ("here", ["workload.rate"], 4)
    assert [(run["point"], run["seed"], run["workload.rate"]) for run in said["runs"]] == [
        (1, 1, 10),
        (1, 2, 10),
        (2, 1, 20),
        (2, 2, 20),
    ]


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["quickstart"], "nothing to vary: give --vary PATH=VALUES"),
        ([], "which experiment? adpkv sweep FILE --vary a.b=VALUES"),
        (["quickstart", "--vary", "a.b"], "--vary a.b: must look like section.key=VALUES"),
        (["quickstart", "--vary", "seed=1,2"], "seed is no axis: --seeds says"),
        (["quickstart", "--vary", "workload.rate=1,2", "--show", "x"], "'x' is no figure"),
        (["quickstart", "--vary", "workload.rate=1,2", "--jobs", "0"], "--jobs 0: at least one"),
        (["quickstart", "--vary", "workload.rate=1,2", "--limit", "5"], "--limit 5: needs a unit"),
        (["--resume", "nowhere"], "nowhere/runs.jsonl: cannot be read"),
        (["quickstart", "--resume", "nowhere"], "--resume nowhere goes on with what is there"),
    ],
)
def test_what_is_refused(tmp_path: Path, argv: list[str], said: str) -> None:
    done = sweep(tmp_path, *argv)
    assert done.returncode == 2
    assert done.stderr.startswith(f"adpkv: {said}")
    assert list(tmp_path.iterdir()) == []


def test_all_that_is_wrong_with_points_is_said_before_the_first_runs(tmp_path: Path) -> None:
    done = sweep(
        tmp_path,
        "quickstart",
        *("--vary", "transceiver.transfr_timeout=1s", "--vary", "kv_cache.blocks=x,16,512"),
    )
    assert done.returncode == 2
    head, *lines = done.stderr.splitlines()
    lines.sort(key=lambda line: "transfr" not in line.partition(":")[0])
    assert head == "adpkv: quickstart, varied: 3 problems"
    assert lines[0] == (
        "  transceiver.transfr_timeout: is not known here: did you mean transfer_timeout? "
        "(found '1s', from --vary)"
    )
    assert lines[1].startswith("  kv_cache.blocks: must be a whole number (found 'x', from --vary)")
    assert "[1 of 3 points, such as transceiver.transfr_timeout=1s, kv_cache.blocks=x]" in lines[1]
    assert lines[2].startswith("  kv_cache.blocks: leaves 15 blocks")
    assert list(tmp_path.iterdir()) == []


def test_what_is_wrong_with_every_value_is_one_problem(tmp_path: Path) -> None:
    wrong = ("--vary", "workload.rat=1..50+1", "--vary", "kv_cache.blocks=0,1,512")
    done = sweep(tmp_path, "quickstart", *wrong)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "adpkv: quickstart, varied: 2 problems",
        "  kv_cache.blocks: must be at least 2 (found 0 and 1 other value, from --vary) "
        "[100 of 150 points, such as workload.rat=1, kv_cache.blocks=0]",
        "  workload.rat: is not known here: did you mean rate? "
        "(found 1 and 49 other values, from --vary)",
    ]


def test_ctrl_c_keeps_what_has_ended_and_says_how_to_go_on(tmp_path: Path) -> None:
    process = started(
        tmp_path,
        "quickstart",
        *("--vary", "workload.rate=10..59+1", "--jobs", "1", "--out", "s"),
    )
    journal = tmp_path / "s" / "runs.jsonl"
    bound_s = time.monotonic() + 60
    while not journal.exists() or journal.read_bytes().count(b"\n") < 3:
        assert time.monotonic() < bound_s, "no two runs end"
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    ended = journal.read_bytes().count(b"\n") - 1
    last = err.splitlines()[-1]
    assert last == (
        f"adpkv: halted: {ended} of 50 runs are in s; go on with: adpkv sweep --resume s"
    )
    assert (tmp_path / "s" / "table.csv").read_text().count("\n") == ended + 1
    # Not all of them again: a few are left to make.
    lines = journal.read_bytes().splitlines(keepends=True)
    plan = tmp_path / "s" / "sweep.yaml"
    plan.write_text(plan.read_text().replace("10..59+1", f"10..{10 + ended}+1"))
    done = sweep(tmp_path, "--resume", "s")
    assert done.returncode == 0, done.stderr
    assert journal.read_bytes().splitlines(keepends=True)[: ended + 1] == lines
    assert f"{ended + 1} of {ended + 1} runs, 1 of them now, in " in done.stdout


def test_a_table_that_cannot_be_written_costs_no_run(tmp_path: Path) -> None:
    argv = ["quickstart", *SMALL, "--vary", "workload.rate=10..59+1", "--jobs", "1", "--out", "a b"]
    process = started(tmp_path, *argv)
    journal = tmp_path / "a b" / "runs.jsonl"
    bound_s = time.monotonic() + 60
    while not journal.exists():
        assert time.monotonic() < bound_s
        assert process.poll() is None
        time.sleep(0.01)
    (tmp_path / "a b" / "table.csv").mkdir()
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (74, "")
    assert "table.csv: cannot write here: Is a directory" in err
    assert "what has ended stays, go on with: adpkv sweep --resume 'a b'" in err
    (tmp_path / "a b" / "table.csv").rmdir()
    done = sweep(tmp_path, "--resume", "a b")
    assert (done.returncode, "50 of 50 runs, 0 of them now, in " in done.stdout) == (0, True)
