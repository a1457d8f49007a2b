"""The folder of a job in shared memory: nobody else looks in, nothing stays that need not."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from adpkv.errors import UsageError
from adpkv.flight_recorder.job_directory import (
    RINGS,
    JobDirectory,
    JobInfo,
    all_jobs,
    new_job,
    read_info,
    ring_path,
    ring_paths,
    stacks_path,
    sweep,
)
from adpkv.inspect.snapshot import take_survey
from tests.flight_recorder.rings import Slots, collective, recorder

ROOT = Path(__file__).parents[2]
BOUND_S = 60.0

KILLED = """
import sys
from adpkv.flight_recorder.job_directory import JobDirectory, new_job
from tests.flight_recorder.rings import Slots, recorder

job = JobDirectory.create(new_job())
for rank in (0, 1):
    recorder(job.path, rank)
Slots(job.path, 0, (0, 1), 2)
print(job.path, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def job() -> Iterator[JobDirectory]:
    made = JobDirectory.create(new_job())
    yield made
    made.remove()


def note(folder: Path) -> JobInfo:
    return JobInfo("job", os.getpid(), str(folder), "here", 2, {0: 10, 1: 11}, "made-up", ["adpkv"])


def test_nobody_else_looks_in(job: JobDirectory) -> None:
    for folder in (job.path, job.path.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert job.path in list(all_jobs())


def test_two_jobs_of_one_name_do_not_mix(job: JobDirectory) -> None:
    with pytest.raises(UsageError, match="no place for the flight recorder: File exists"):
        JobDirectory.create(job.path.name)


def test_what_is_known_is_read_back(job: JobDirectory) -> None:
    assert read_info(job.path) is None
    job.write_info(note(Path("run")))
    assert read_info(job.path) == note(Path("run"))


@pytest.mark.parametrize(
    "raw", [b"", b"{", b'{"job": "\xd0"}', b'{"\x80": 1}', b"[" * 100_000, b"null", b"[]"]
)
def test_a_damaged_note_is_none(raw: bytes, tmp_path: Path) -> None:
    """`inspect` reads what a killed job left, and takes what there is."""
    (tmp_path / "run.json").write_bytes(raw)
    assert read_info(tmp_path) is None


def test_the_last_rank_takes_the_folder_along(job: JobDirectory) -> None:
    for rank in (0, 1):
        recorder(job.path, rank)
        stacks_path(job.path, rank).touch()
    job.write_info(note(Path("run")))
    job.leave(1)
    assert ring_paths(job.path) == [ring_path(job.path, 0)]
    job.leave(0)
    assert not job.path.exists()


def test_what_a_failed_job_left_is_moved_to_its_runs_folder(
    job: JobDirectory, tmp_path: Path
) -> None:
    recorder(job.path, 0).enter(collective(), 41, 1000)
    slots = Slots(job.path, 1, (0, 1), 2)
    slots.told(0, 5, collective(), 40)
    stacks_path(job.path, 0).touch()
    job.write_info(note(tmp_path))
    job.rescue()
    job.rescue()  # one of several
    assert not job.path.exists()
    kept = sorted(p.name for p in (tmp_path / RINGS).iterdir())
    assert [name for name in kept if not name.endswith(".slots")] == ["rank-0.ring", "run.json"]
    found = take_survey(tmp_path / RINGS)
    assert found.experiment == "made-up"
    assert found.ranks[0].untold, "its last slot is there, and is of the collective before"


def test_a_folder_that_is_gone_loses_the_rings_but_leaves_nothing(
    job: JobDirectory, tmp_path: Path
) -> None:
    recorder(job.path, 0)
    job.write_info(note(tmp_path / "gone"))
    job.rescue()
    assert not job.path.exists()
    assert not list(job.path.parent.glob(f"{job.path.name}*"))


@pytest.fixture
def other() -> Iterator[subprocess.Popen[str]]:
    """Another process, with a job of its own."""
    job = subprocess.Popen(
        [sys.executable, "-c", KILLED],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    yield job
    job.kill()
    job.communicate()


def test_only_the_failed_are_swept(job: JobDirectory, other: subprocess.Popen[str]) -> None:
    assert other.stdout is not None
    theirs = Path(other.stdout.readline().strip())
    assert len(ring_paths(theirs)) == 2
    removed = sweep()
    assert theirs not in removed, "it is alive"
    other.send_signal(signal.SIGKILL)
    other.wait(BOUND_S)
    assert theirs in sweep()
    assert not theirs.exists()
    assert job.path.exists(), "this process is alive"
