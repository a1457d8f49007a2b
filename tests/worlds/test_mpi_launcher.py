"""The parent of mpirun, with a stand-in for mpirun: what a real one does once in fifty runs."""

from __future__ import annotations

import mmap
import os
import signal
import socket
import sys
import tempfile
from pathlib import Path

import pytest

from adpkv.errors import MissingPieceError
from adpkv.flight_recorder.processes import living_state, start_ticks
from adpkv.worlds.mpi.launcher import launch as launching
from adpkv.worlds.mpi.launcher import process_tree, segments
from adpkv.worlds.mpi.launcher.launch import Launch
from adpkv.worlds.mpi.launcher.mpirun import allowing, fault_tolerance, find_mpirun
from adpkv.worlds.mpi.launcher.process_tree import ProcessTree

HUNG = """
import os, subprocess, sys, tempfile, time
from pathlib import Path
session = Path(os.environ["PRTE_MCA_prte_local_tmpdir_base"]) / f"ompi.{os.getpid()}"
session.mkdir()
rank = dict(os.environ, OMPI_COMM_WORLD_RANK="0", PMIX_SERVER_TMPDIR=str(session))
subprocess.run([sys.executable, "-c", sys.argv[1]], env=rank)
time.sleep(600)
"""


def test_the_exit_code_of_mpirun_is_passed_on() -> None:
    assert Launch([sys.executable, "-c", "raise SystemExit(75)"]).run() == 75


@pytest.mark.parametrize("told", [{}, {"HOME": ""}], ids=["none", "an empty one"])
def test_who_has_no_home_gets_one(told: dict[str, str]) -> None:
    """Open MPI does not run without."""
    assert Path(allowing(dict(told))["HOME"]).is_absolute()
    assert allowing({"HOME": "/somebody"})["HOME"] == "/somebody"


def test_a_killed_mpirun_has_the_code_that_a_shell_would_give() -> None:
    assert Launch(["sh", "-c", "kill -9 $$"]).run() == 137


def test_a_signal_after_the_end_changes_nothing_any_more() -> None:
    """The job has its code, and `adpkv run` is about to say it: it failed of the signal instead."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert Launch(["true"], last=True).run() == 0
        os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    assert Launch(["true"]).run() == 0
    assert signal.getsignal(signal.SIGTERM) is before, "others get their own back"


AGREED = """
import os
from adpkv.worlds.mpi.launcher.process_tree import ProcessTree
ProcessTree(os.getppid()).leave_code(5)
ProcessTree(os.getppid()).leave_code(70)  # an afterthought
"""


@pytest.mark.parametrize(("agreed", "code"), [(AGREED, 5), ("", 70)], ids=["agreed", "not-agreed"])
def test_an_mpirun_that_outlives_its_ranks_is_ended(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], agreed: str, code: int
) -> None:
    monkeypatch.setattr(launching, "HUNG_AFTER_S", 0.1)
    monkeypatch.setattr(launching, "LOOK_EVERY_S", 0.1)
    rank = f"import time; time.sleep(1.5)\n{agreed}"
    assert Launch([sys.executable, "-c", HUNG, rank]).run() == code
    assert "adpkv: killing mpirun: its ranks have ended" in capfd.readouterr().err


LEAVES_ONE = """
import os, subprocess, sys, time
rank = dict(os.environ, OMPI_COMM_WORLD_RANK="0")
print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], env=rank).pid)
sys.stdout.flush()
time.sleep(1.5)
"""


def test_a_rank_that_outlives_mpirun_is_ended(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(launching, "LOOK_EVERY_S", 0.1)
    monkeypatch.setattr(process_tree, "LEAVE_BOUND_S", 0.1)
    assert Launch([sys.executable, "-c", LEAVES_ONE]).run() == 0
    pid = int(capfd.readouterr().out)
    assert living_state(pid, start_ticks(pid)) not in ("alive", "stopped")


ULFM = ["--with-ft", "ulfm", "--mca", "btl_tcp_flags", "send,inplace"]


@pytest.mark.parametrize(
    ("says", "found"),
    [
        ("mpirun (Open MPI) 5.0.11", ULFM),
        ("mpirun.openmpi (Open MPI) 10.1.0", ULFM),
        ("mpirun (Open MPI) 4.1.4", []),
        ("HYDRA build details:\n    Version: 4.2.0", []),
    ],
)
def test_open_mpi_is_asked_to_outlive_a_rank(tmp_path: Path, says: str, found: list[str]) -> None:
    mpirun = tmp_path / "mpirun"
    mpirun.write_text(f"#!/bin/sh\nprintf '%s\\n' '{says}'\n")
    mpirun.chmod(0o755)
    assert fault_tolerance(str(mpirun)) == found
    assert fault_tolerance(str(tmp_path / "none")) == []


def test_shared_memory_and_session_of_a_killed_job_are_removed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(segments, "SEGMENT", str(tmp_path / "sm_segment."))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    names = ("host.0.a10001.0", "host.0.a10001.1", "host.0.b20001.0")
    segment, unseen, others = (tmp_path / f"sm_segment.{name}" for name in names)
    named = tmp_path / f"sm_segment.host.{os.geteuid()}.{segments._job(NAME):x}.3"
    for path in (segment, unseen, others, named):
        path.write_bytes(bytes(4096))
    session = tmp_path / f"ompi.{os.getpid()}"
    session.mkdir()
    with segment.open("r+b") as file, mmap.mmap(file.fileno(), 0):
        used = segments.segments_of(os.getpid())
    assert used == {str(segment)}
    ProcessTree(os.getpid()).clean_up(used)
    assert [path.name for path in tmp_path.iterdir()] == [others.name]


NAME = f"prterun-{socket.gethostname()}-{os.getpid()}"


def test_a_jobs_number_is_the_one_that_open_mpi_makes_of_its_name() -> None:
    """As a real job had it; `tests/real_ranks/test_mpi_launch.py` has those of this machine."""
    assert segments._job("prterun-vm-26414") == 0xB20B0001


def test_without_mpirun_it_is_said_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingPieceError, match=r"pip install 'adpkv\[mpi\]'.*mpirun is missing"):
        find_mpirun()


def test_the_environments_own_mpirun_comes_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    for name in ("mpiexec", "mpirun", "mpirun.openmpi"):
        path = tmp_path / name
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
        assert find_mpirun() == str(path)


def test_a_lost_host_is_missed_in_time_and_what_the_user_has_set_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Real jobs over a link that is cut show the effect (`tests/hosts`); their bound is their own,
    set as a user would."""
    first, last = "PRTE_MCA_oob_tcp_keepalive_time", "PRTE_MCA_oob_tcp_keepalive_probes"
    say = f"import os; raise SystemExit(int(os.environ[{first!r}]) + int(os.environ[{last!r}]))"
    monkeypatch.delenv(first, raising=False)
    monkeypatch.setenv(last, "70")
    assert Launch([sys.executable, "-c", say]).run() == 30 + 70
