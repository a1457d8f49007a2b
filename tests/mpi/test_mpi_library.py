"""`adpkv.run` from a program: real ranks, and the same result as `simulate`'s."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

import adpkv
from adpkv.exit_codes import ExitCode
from adpkv.flight_recorder.processes import descendants, living_state, start_ticks
from tests.library.test_documents import blocks

SMALL = {"workload.requests": 8}


@pytest.mark.usefixtures("mpirun")
def test_a_program_runs_real_ranks_from_any_thread(tmp_path: Path) -> None:
    found: list[adpkv.Result] = []
    before = signal.getsignal(signal.SIGINT)

    def called() -> None:
        found.append(adpkv.run("four-ranks", set=SMALL, ranks=4))

    thread = threading.Thread(target=called)
    thread.start()
    thread.join(90)
    [result] = found
    assert (result.outcome, result.summary.world, result.folder) == ("completed", "mpi", None)
    assert len(result.requests) == 8
    assert result.events.of(3)
    assert result.summary.simulated_s is None
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.usefixtures("mpirun")
def test_after_its_time_the_ranks_agree_to_stop(tmp_path: Path) -> None:
    result = adpkv.run(
        "four-ranks", set={"workload.requests": 100_000}, out=tmp_path / "out", timeout_s=6
    )
    assert result.exit_code == ExitCode.SIGTERM
    assert result.folder == tmp_path / "out"
    assert result.summary.requests.never_arrived


BUSY = {"workload.requests": 100_000, "workload.users": 64, "model.step_base": "100us"}
"""Events reach the disk in batches: so many of them that the first is there in a moment."""

INTERRUPTED = f"""
import adpkv, sys
adpkv.run("four-ranks", set={BUSY}, out=sys.argv[1])
"""


def test_ctrl_c_in_the_program_ends_the_ranks_too(jobs, tmp_path: Path) -> None:
    out = tmp_path / "out"
    job = jobs.start([sys.executable, "-c", INTERRUPTED, str(out)])
    until_s = time.monotonic() + 60
    while not any(part.stat().st_size for part in out.glob("events.*.part")):
        assert job.poll() is None, job.communicate()
        assert time.monotonic() < until_s
        time.sleep(0.05)
    below = {pid: start_ticks(pid) for pid in descendants(job.pid)}
    os.kill(job.pid, signal.SIGINT)
    found = jobs.finish(job, 60)
    assert found.code == -signal.SIGINT
    assert "KeyboardInterrupt" in found.err
    states = {living_state(pid, ticks) for pid, ticks in below.items()}
    assert states.isdisjoint({"alive", "stopped"})
    assert adpkv.load_run(out).exit_code == ExitCode.SIGTERM


def test_a_killed_run_is_a_result_too(jobs, tmp_path: Path) -> None:
    out = tmp_path / "out"
    argv = [str(Path(sys.executable).with_name("adpkv")), "run", "four-ranks", "--quiet"]
    argv += [word for key, value in BUSY.items() for word in ("--set", f"{key}={value}")]
    argv += ["--out", str(out)]
    job = jobs.start(argv)
    until_s = time.monotonic() + 60
    while not any(part.stat().st_size for part in out.glob("events.*.part")):
        assert job.poll() is None, job.communicate()
        assert time.monotonic() < until_s
        time.sleep(0.05)
    for pid in [job.pid, *descendants(job.pid)]:
        os.kill(pid, signal.SIGKILL)
    job.wait()
    result = adpkv.load_run(out)
    assert (result.outcome, result.summary.world) == ("rank_lost", "mpi")
    assert result.summary.broken_off is not None
    assert result.events


def test_what_the_tutorial_says_of_real_ranks_can_be_typed(jobs, tmp_path: Path) -> None:
    [code] = blocks(real=True)
    job = jobs.start([sys.executable, "-c", f"import adpkv\n{code}"], cwd=tmp_path)
    found = jobs.finish(job, 90)
    assert found.code == 0, found.err
    assert list(tmp_path.iterdir()) == []
