"""The parent of mpirun, with a stand-in for mpirun: what a real one does once in fifty runs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from adpkv.errors import MissingPieceError
from adpkv.worlds.mpi import launch as launching
from adpkv.worlds.mpi.launch import Launch

HUNG = """
import os, subprocess, sys, time
rank = dict(os.environ, OMPI_COMM_WORLD_RANK="0")
subprocess.run([sys.executable, "-c", "import time; time.sleep(1.5)"], env=rank)
time.sleep(600)
"""


def test_the_exit_code_of_mpirun_is_passed_on() -> None:
    assert Launch([sys.executable, "-c", "raise SystemExit(75)"]).run() == 75


def test_a_killed_mpirun_has_the_code_that_a_shell_would_give() -> None:
    assert Launch(["sh", "-c", "kill -9 $$"]).run() == 137


def test_an_mpirun_that_outlives_its_ranks_is_ended(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(launching, "HUNG_AFTER_S", 0.1)
    monkeypatch.setattr(launching, "LOOK_EVERY_S", 0.1)
    assert Launch([sys.executable, "-c", HUNG]).run() == 70
    assert "adpkv: killing mpirun: its ranks have ended" in capfd.readouterr().err


def test_without_mpirun_it_is_said_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingPieceError, match=r"pip install 'adpkv\[mpi\]'.*mpirun is missing"):
        launching.find_mpirun()


def test_the_environments_own_mpirun_comes_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    for name in ("mpiexec", "mpirun", "mpirun.openmpi"):
        path = tmp_path / name
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
        assert launching.find_mpirun() == str(path)
