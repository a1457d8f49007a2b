"""How jobs are started, interrupted and ended: by `adpkv run` and by plain mpirun."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from adpkv.flight_recorder.processes import living_state
from adpkv.worlds.mpi.launcher.process_tree import SESSION, SESSION_OF_RANK, ProcessTree
from adpkv.worlds.mpi.launcher.repair import ALLOWANCES
from tests.real_ranks.conftest import outlives_or_skip

BIN = Path(sys.executable).parent
ROOT = Path(__file__).parents[2]
RUN = [str(BIN / "adpkv"), "run"]
BY_MPIRUN = [str(BIN / "mpirun"), "-n", "4", *RUN]
LOOK_S = 0.02
LONG = ["configs/four-ranks.yaml", "--set", "workload.requests=100000"]


def finished(jobs, argv, timeout_s: float = 90):
    return jobs.finish(jobs.start(argv), timeout_s)


def until_served(out: Path, job: subprocess.Popen[str], timeout_s: float = 60) -> None:
    """Until requests are being served: events of the coordinator are on disk by then."""
    until_s = time.monotonic() + timeout_s
    while not (out / "config.yaml").exists() or not list(out.glob("events.*.part")):
        assert job.poll() is None, job.communicate()
        assert time.monotonic() < until_s, "no request within the time"
        time.sleep(LOOK_S)
    # Ranks listen to signals before the folder exists: from here on nothing is lost.


def places_of(rank: int) -> list[Path]:
    """The session folder of a rank's mpirun, and the folder that is there for it alone."""
    words = Path(f"/proc/{rank}/environ").read_bytes().split(b"\0")
    mark = f"{SESSION_OF_RANK}=".encode()
    session = next(Path(os.fsdecode(one[len(mark) :])) for one in words if one.startswith(mark))
    return [session, session.parent]


CAMPAIGN = pytest.mark.campaign


@pytest.mark.parametrize(
    ("start", "number", "times", "code"),
    [
        pytest.param(RUN, signal.SIGINT, 2, 130, id="adpkv, asked again"),
        pytest.param(BY_MPIRUN, signal.SIGTERM, 1, 143, id="mpirun"),
        pytest.param(RUN, signal.SIGINT, 1, 130, id="adpkv, Ctrl-C", marks=CAMPAIGN),
        pytest.param(RUN, signal.SIGTERM, 1, 143, id="adpkv", marks=CAMPAIGN),
        pytest.param(BY_MPIRUN, signal.SIGINT, 1, 130, id="mpirun, Ctrl-C", marks=CAMPAIGN),
    ],
)
def test_a_signal_drains_the_job(
    jobs, start, number: int, times: int, code: int, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    job = jobs.start([*start, *LONG, "--quiet", "--out", str(out)])
    until_served(out, job)
    # To the whole process group, as Ctrl-C in a terminal does.
    for _ in range(times):
        os.killpg(job.pid, number)
    found = jobs.finish(job, 60)
    assert found.code == code, found.err
    assert "Traceback" not in found.err
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["outcome"], summary["exit_code"]) == ("interrupted", code)
    counts = summary["requests"]
    assert sum(counts.values()) == 2 * counts["submitted"] + counts["never_arrived"]
    assert summary["violations"] == []
    assert (out / "events.jsonl").exists()
    assert not list(out.glob("*.part"))


@pytest.mark.parametrize("given", [2, pytest.param(5, marks=CAMPAIGN)])
def test_another_number_of_ranks_is_one_message(jobs, given: int, tmp_path: Path) -> None:
    out = tmp_path / "out"
    argv = [str(BIN / "mpirun"), "-n", str(given), *RUN, "configs/four-ranks.yaml"]
    found = finished(jobs, [*argv, "--out", str(out)])
    assert found.code == 2
    assert found.err.count("adpkv:") == 1
    assert f"the experiment has 4 ranks, mpirun started {given}: use mpirun -n 4" in found.err
    assert "Traceback" not in found.err
    assert not out.exists()


def test_a_folder_that_is_not_ours_is_one_message(jobs, tmp_path: Path) -> None:
    (tmp_path / "diary.txt").write_text("mine")
    found = finished(jobs, [*BY_MPIRUN, "configs/four-ranks.yaml", "--out", str(tmp_path)])
    assert found.code == 2
    assert found.err.count("adpkv:") == 1
    assert os.listdir(tmp_path) == ["diary.txt"]


def test_a_killed_parent_takes_the_job_along(jobs, tmp_path: Path) -> None:
    out = tmp_path / "out"
    job = jobs.start([*RUN, *LONG, "--quiet", "--out", str(out)])
    until_served(out, job)
    below = ProcessTree(job.pid).everything()
    assert len(ProcessTree(job.pid).ranks()) == 4
    job.kill()
    until_s = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in below):
        assert time.monotonic() < until_s, f"left behind: {below}"
        time.sleep(LOOK_S)
    job.communicate()


@pytest.mark.parametrize(
    "kills",
    [
        pytest.param(1, id="one"),
        pytest.param(2, id="two", marks=CAMPAIGN),
        pytest.param(4, id="all", marks=CAMPAIGN),
        pytest.param(5, id="all-and-mpirun"),
    ],
)
def test_killed_ranks_leave_nothing_behind(jobs, tmp_path: Path, kills: int) -> None:
    outlives_or_skip()
    out = tmp_path / "out"
    job = jobs.start(
        [*RUN, *LONG, "--set", "executor.drain_timeout=2s", "--quiet", "--out", str(out)]
    )
    until_served(out, job)
    below, ranks = ProcessTree(job.pid).begun(), ProcessTree(job.pid).ranks()
    sessions = [place for pid in ranks for place in places_of(pid)]
    segments = [Path(path) for path in ProcessTree(job.pid).segments()]
    rings = list(Path("/dev/shm").glob(f"adpkv-{os.geteuid()}/*-{job.pid}"))
    assert (len(ranks), len(rings)) == (4, 1)
    assert len(set(sessions)) == 2
    assert all(path.is_dir() for path in sessions)
    assert segments
    mpirun = [pid for pid in below if pid not in ranks]
    for pid in [*mpirun, *ranks][-kills:]:
        os.kill(pid, signal.SIGKILL)
    found = jobs.finish(job, 60)
    assert found.code == 5, found.err
    assert json.loads((out / "summary.json").read_text())["exit_code"] == 5
    assert ("mpirun itself was killed, by signal 9" in found.err) == (kills == 5)
    left = [path for path in [*sessions, *segments, *rings] if path.exists()]
    assert left == []
    states = [living_state(pid, ticks) for pid, ticks in below.items()]
    assert {"alive", "stopped"}.isdisjoint(states)
    assert list((out / "rings").glob("*.ring")), "what they did last can be looked into"


IDS_AHEAD = 200


@pytest.mark.parametrize("by", ["mpirun.openmpi", "mpirun", "adpkv"])
def test_an_mpirun_may_have_the_process_id_of_one_that_was_killed(
    jobs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, by: str
) -> None:
    """What a killed one leaves is planted for all ids that are next: Open MPI alone refuses."""
    left = tmp_path / "tmp"
    last = subprocess.run(["sh", "-c", "echo $$"], capture_output=True, text=True, check=True)
    for pid in range(int(last.stdout), int(last.stdout) + IDS_AHEAD):
        (left / f"{SESSION}{pid}").mkdir(parents=True, mode=0o700)
        (left / f"{SESSION}{pid}" / f"pmix.{socket.gethostname()}.tool").write_text("left")
    monkeypatch.setenv("TMPDIR", str(left))
    for name, value in ALLOWANCES.items():
        monkeypatch.setenv(name, value)
    program = [str(BIN / by), "-n", "2", "true"]
    if by == "adpkv":
        argv = ["--set", "workload.requests=4", "--quiet", "--out", str(tmp_path / "out")]
        program = [*RUN, "configs/four-ranks.yaml", *argv]
    found = finished(jobs, program)
    if by == "mpirun.openmpi":
        assert found.code != 0
        assert "listener thread failed to start" in found.err
    else:
        assert found.code == 0, found.err


def test_json_is_all_there_is_on_stdout(jobs, tmp_path: Path) -> None:
    argv = [*RUN, "configs/four-ranks.yaml", "--json", "--quiet", "--out", str(tmp_path / "out")]
    found = finished(jobs, argv)
    assert json.loads(found.out) == json.loads((tmp_path / "out" / "summary.json").read_text())


def test_more_ranks_than_cores_yield_whatever_the_launcher_believes(jobs, tmp_path: Path) -> None:
    """Open MPI tells its ranks to yield where there are more of them than slots. Here there are
    slots enough; as in a host file that says more than a host has cores. It is Open MPI itself that
    is asked what it goes by."""
    one_core = ["taskset", "-c", str(min(os.sched_getaffinity(0)))]
    show = ["--mca", "mpi_show_mca_params", "all", "--host", "localhost:4", "--bind-to", "none"]
    experiment = ["configs/four-ranks.yaml", "--out", str(tmp_path / "out")]
    for ranks, said in [(1, "false (default)"), (2, "true (environment)")]:
        by_mpirun = [*one_core, str(BIN / "mpirun"), *show, "-n", str(ranks)]
        # Not the experiment's number, so it is over as soon as MPI has begun.
        found = finished(jobs, [*by_mpirun, *RUN, *experiment])
        assert found.code == 2, found.err
        assert f"mpi_yield_when_idle={said}" in found.err


FEW = "workload.requests=4"


@pytest.mark.parametrize(
    "by", ["adpkv", pytest.param("mpirun", marks=CAMPAIGN)], ids=lambda by: f"by {by}"
)
def test_who_has_no_home_can_start_a_job(jobs, tmp_path: Path, by: str) -> None:
    """As a service, or in a container; Open MPI itself does not run then."""
    start = ["env", "-u", "HOME", *(RUN if by == "adpkv" else BY_MPIRUN)]
    found = finished(
        jobs, [*start, "configs/four-ranks.yaml", "--set", FEW, "--out", str(tmp_path / "out")]
    )
    assert found.code == 0, found.err


@pytest.mark.parametrize("given", ["cat {} | {}", "{1} < {0}"], ids=["a pipe", "a file"])
def test_an_experiment_may_come_over_standard_input(jobs, tmp_path: Path, given: str) -> None:
    """The launcher has read it, and its ranks cannot."""
    told = f"{' '.join(RUN)} /dev/stdin --set {FEW} --json --out {tmp_path / 'out'}"
    found = finished(jobs, ["sh", "-c", given.format("configs/four-ranks.yaml", told)])
    assert found.code == 0, found.err
    assert json.loads(found.out)["requests"]["submitted"] == 4
