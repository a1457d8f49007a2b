"""The run folder: new by default, and never over anything that no run wrote."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import pytest

from adpkv import config
from adpkv.config import Experiment
from adpkv.diagnosis.collect import RankSnapshot, write_snapshot
from adpkv.errors import UsageError
from adpkv.executor.collectives import WORLD
from adpkv.flight_recorder.job_directory import (
    INFO,
    RINGS,
    JobDirectory,
    JobInfo,
    new_job,
    ring_path,
    slot_path,
    stacks_path,
)
from adpkv.output import RunFolder
from adpkv.output.folder_files import FOLDERS, read_json
from adpkv.whole_files import MARK

NOW = datetime(2026, 11, 23, 22, 5, 7)


def test_the_default_is_a_new_folder_named_after_run_and_time(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first = RunFolder.create(experiment, now=NOW)
    second = RunFolder.create(experiment, now=NOW)
    assert str(first.path) == "runs/tiny-20261123-220507"
    assert str(second.path) == "runs/tiny-20261123-220507-2"


def test_the_configuration_in_the_folder_is_the_experiment(
    experiment: Experiment, tmp_path: Path
) -> None:
    folder = RunFolder.create(experiment, tmp_path / "a" / "b")
    assert config.load(folder.config) == experiment


def test_a_former_run_is_replaced(experiment: Experiment, tmp_path: Path) -> None:
    folder = RunFolder.create(experiment, tmp_path / "out")
    folder.requests.write_text("old\n")
    folder.events_part(3).write_text("old\n")
    folder.events_part(-1).write_text("old\n")
    folder.release()
    again = RunFolder.create(experiment, tmp_path / "out")
    assert sorted(path.name for path in again.path.iterdir()) == ["config.yaml", "requests.jsonl"]


def test_a_run_that_was_killed_is_replaced_with_all_that_was_rescued_of_it(
    experiment: Experiment, tmp_path: Path
) -> None:
    """By whatever a job's directory can hold, under the names that their own modules make."""
    folder = RunFolder.create(experiment, tmp_path)
    folder.requests.write_text("old\n")
    folder.release()
    job = JobDirectory.create(new_job())
    paths = [
        ring_path(job.path, 12),
        stacks_path(job.path, 12),
        *(slot_path(job.path, group, 1, bytes(16)) for group in (WORLD, 0, 11)),
        job.path / f"{INFO}.tmp",
        job.path / "rank-12.tmp",  # a snapshot, half written
    ]
    write_snapshot(job.path, RankSnapshot(12))
    job.write_info(JobInfo("j", 1, str(tmp_path), "h", 1, {0: 1}, "tiny", []))
    for path in paths:
        path.write_bytes(b"old")
    job.rescue()
    for inside in FOLDERS:
        (tmp_path / inside).mkdir(exist_ok=True)
        (tmp_path / inside / f"{MARK}1-1.tmp").touch()  # of `whole_files`
    assert {path.name for path in paths} < set(os.listdir(tmp_path / RINGS))
    RunFolder.create(experiment, tmp_path).release()
    assert not FOLDERS.keys() & set(os.listdir(tmp_path))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["notes.txt", "config.yaml", "summary.json"], "holds 'notes.txt', which no run wrote"),
        (["config.yaml"], "holds 'config.yaml' but no former run"),
    ],
)
def test_a_folder_of_somebody_else_is_left_alone(
    experiment: Experiment, tmp_path: Path, names: list[str], message: str
) -> None:
    for name in names:
        (tmp_path / name).write_text("mine")
    with pytest.raises(UsageError, match=message):
        RunFolder.create(experiment, tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys(
        names, "mine"
    )


def test_a_place_that_cannot_be_written_is_a_usage_error(
    experiment: Experiment, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"file/out: cannot write here: Not a directory"):
        RunFolder.create(experiment, tmp_path / "file" / "out")


def test_the_summary_is_whole_or_not_there(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    with pytest.raises(TypeError):
        folder.write_summary({"a": object()})
    assert not folder.summary.exists()
    folder.write_summary({"a": 1})
    assert json.loads(folder.summary.read_text()) == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["summary.json"]


# -- one folder, one run -----------------------------------------------------------------------


def listed(path: Path) -> dict[str, str]:
    return {str(at.relative_to(path)): at.read_text() for at in path.rglob("*") if at.is_file()}


def test_two_runs_never_have_one_folder(experiment: Experiment, tmp_path: Path) -> None:
    first = RunFolder.create(experiment, tmp_path)
    before = listed(tmp_path)
    with pytest.raises(UsageError, match="another run is writing into this folder"):
        RunFolder.claim("second", tmp_path)
    assert listed(tmp_path) == before
    first.release()
    RunFolder.claim("second", tmp_path).release()


def test_a_lock_goes_with_its_process(experiment: Experiment, tmp_path: Path) -> None:
    holds = (
        "import sys, time; from pathlib import Path; from adpkv.output import RunFolder;"
        "RunFolder.claim('x', Path(sys.argv[1])); print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holds, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(UsageError, match="another run"):
            RunFolder.claim("second", tmp_path)
        other.kill()
        other.wait(10)
    # Killed before it began: `config.yaml` is there, empty, and of nobody.
    assert (tmp_path / "config.yaml").read_bytes() == b""
    RunFolder.create(experiment, tmp_path)


def test_a_refused_start_takes_away_what_it_made(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own").mkdir()
    for out in (None, tmp_path / "a" / "b", tmp_path / "own"):
        RunFolder.create(experiment, out).withdraw()
        RunFolder.claim("x", out).withdraw()
    assert [path.name for path in tmp_path.iterdir()] == ["own"]
    assert not any((tmp_path / "own").iterdir())


def test_a_start_that_is_refused_leaves_a_former_run_as_it_was(
    experiment: Experiment, tmp_path: Path
) -> None:
    former = RunFolder.create(experiment, tmp_path)
    former.write_summary({"a": 1})
    former.release()
    before = listed(tmp_path)
    RunFolder.claim("second", tmp_path).withdraw()
    assert listed(tmp_path) == before


def test_a_run_that_was_killed_as_it_began_is_a_former_run(
    experiment: Experiment, tmp_path: Path
) -> None:
    RunFolder.create(experiment, tmp_path).release()
    RunFolder.create(experiment, tmp_path)


class Killed(BaseException):
    """What ends a process where it stands."""


@pytest.mark.parametrize("method", ["touch", "write_text"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_who_is_killed_as_it_begins_leaves_a_folder_for_the_next(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, when: str
) -> None:
    """At each of its writes: `config.yaml` whole and nothing beside it was refused as a user's."""
    original = getattr(Path, method)

    def killed(path: Path, *args: object, **named: object) -> None:
        if when == "after":
            original(path, *args, **named)
        raise Killed

    folder = RunFolder.claim("killed", tmp_path / "out")
    with monkeypatch.context() as patch:
        patch.setattr(Path, method, killed)
        with pytest.raises(Killed):
            folder.begin(experiment)
    folder.release()
    RunFolder.create(experiment, tmp_path / "out").release()


def test_a_reserved_folder_goes_if_who_claimed_it_was_killed_before_it_began(
    experiment: Experiment, tmp_path: Path
) -> None:
    out = tmp_path / "new" / "out"
    reserved = RunFolder.reserve("x", out)
    claimed = RunFolder.claim("x", out)
    reserved.withdraw()
    assert out.exists(), "it is another process's as long as that lives"
    reserved = RunFolder.reserve("x", out)
    os.close(claimed._lock)
    reserved.withdraw()
    assert os.listdir(out.parent) == ["out"], "and it was there before"
    assert os.listdir(out) == []
    out.rmdir()
    out.parent.rmdir()
    reserved = RunFolder.reserve("x", out)
    os.close(RunFolder.claim("x", out)._lock)
    reserved.withdraw()
    assert os.listdir(tmp_path) == []
    reserved = RunFolder.reserve("x", out)
    RunFolder.create(experiment, out).release()
    reserved.withdraw()
    assert (out / "config.yaml").stat().st_size, "of a run that began, nothing is taken away"


@pytest.mark.parametrize("raw", [b"[" * 100_000, b"\xff", b"{", b"[1]", b'{"exit_code": "0"}'])
def test_a_damaged_summary_says_no_code(raw: bytes, tmp_path: Path) -> None:
    """Of a former run in the folder that this one is to use: no traceback for it."""
    folder = RunFolder(tmp_path)
    folder.summary.write_bytes(raw)
    assert folder.read_code() is None
    with suppress(ValueError):
        read_json(folder.summary)
