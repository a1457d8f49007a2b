"""Each mpirun has a folder that no killed one has left; `tests/real_ranks/test_mpi_launch.py` has
it for real."""

from __future__ import annotations

import fcntl
import mmap
import os
import socket
import tempfile
import time
from pathlib import Path

import pytest

from adpkv.worlds.mpi.launcher import segments
from adpkv.worlds.mpi.launcher.session_folder import (
    PLACE,
    PREFIX,
    YOUNG_S,
    note_mpirun,
    session_folder,
    session_place,
    sweep_sessions,
)


@pytest.fixture(autouse=True)
def place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_it_is_there_for_a_job_and_gone_with_it(place: Path) -> None:
    with session_folder() as added:
        assert session_place(added) == Path(added[PLACE])
        assert [path.name for path in place.iterdir()] == [Path(added[PLACE]).name]
        (Path(added[PLACE]) / "left").touch()
    assert list(place.iterdir()) == []


def test_a_users_own_place_stays(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    monkeypatch.setenv("PRTE_MCA_prte_tmpdir_base", "/elsewhere")
    with session_folder() as added:
        assert added == {}
        assert session_place(added) == Path("/elsewhere")
    assert list(place.iterdir()) == []


def test_no_place_is_for_open_mpi_to_say(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(place / "none"))
    with session_folder() as added:
        assert added == {}
        assert session_place(added) == place / "none"


def test_what_kills_have_left_is_swept_and_nothing_else(place: Path) -> None:
    left, used, young = (place / f"{PREFIX}{name}" for name in ("left", "used", "young"))
    other = place / "adpkv-0"
    for path in (left, used, young, other):
        path.mkdir()
        (path / "file").touch()
    long_ago = young.stat().st_mtime - 2 * YOUNG_S
    for path in (left, used, other):
        os.utime(path, (long_ago, long_ago))
    lock = os.open(used, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_SH)
    sweep_sessions(place)
    os.close(lock)
    assert set(place.iterdir()) == {used, young, other}


def test_the_shared_memory_of_a_killed_job_is_swept_with_its_folder(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a process has mapped stays, and what has just been made: the process id may be another
    mpirun's by now."""
    monkeypatch.setattr(segments, "SEGMENT", str(place / "sm_segment."))
    job = segments._job(f"prterun-{socket.gethostname()}-7")
    names = (f"{job:x}.0", f"{job:x}.1", f"{job:x}.2", "a10001.0")
    left, used, new, others = (place / f"sm_segment.h.{os.geteuid()}.{name}" for name in names)
    folder = place / f"{PREFIX}left"
    folder.mkdir()
    note_mpirun(folder, 7)
    for path in (left, used, new, others):
        path.write_bytes(bytes(4096))
    long_ago = time.time() - 2 * YOUNG_S
    for path in (left, used, others, folder):
        os.utime(path, (long_ago, long_ago))
    with used.open("r+b") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ):
        with monkeypatch.context() as patch:
            patch.setattr(segments, "_mapped_by", _hidden)
            sweep_sessions(place)
        assert set(place.iterdir()) == {left, used, new, others, folder}
        sweep_sessions(place)
    assert set(place.iterdir()) == {used, new, others}


def _hidden(pid: int) -> set[str]:
    """A process of this user that hides what it has mapped. (From root none can.)"""
    if pid == os.getpid():
        raise PermissionError
    return set()
