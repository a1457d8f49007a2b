"""`adpkv inspect` on what is no run says so; `tests/real_ranks` shows the rest."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.forked import adpkv

NO_PID = str((1 << 22) + 1)
"""Larger than any process id can be."""


def inspected(*argv: str) -> subprocess.CompletedProcess[str]:
    return adpkv(Path(), "inspect", *argv)


def test_what_is_no_run_is_one_message(tmp_path: Path) -> None:
    (tmp_path / "ended").mkdir()
    (tmp_path / "ended" / "summary.json").write_text("{}")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "rank-0.ring").write_text("not a ring")
    nothing = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        for target, message in [
            (str(tmp_path), "no run of adpkv that is under way, nor what a killed one left"),
            (str(tmp_path / "none"), "no such folder"),
            (str(tmp_path / "ended"), "this run has ended by itself; summary.json says how"),
            (str(tmp_path / "foreign"), "not the ring of a flight recorder"),
            (NO_PID, "no such process"),
            ("9" * 20, "no such process"),
            ("9" * 5000, "no such process"),
            (str(nothing.pid), "no part of a run of adpkv on this host"),
        ]:
            found = inspected(target)
            assert found.returncode == 2, target
            assert found.stderr.startswith("adpkv: ")
            assert message in found.stderr
            assert len(found.stderr.splitlines()) == 1
            assert found.stdout == ""
    finally:
        nothing.communicate(b"\n")


@pytest.mark.parametrize("other", ["--json", "--stacks"])
def test_following_goes_alone(other: str, tmp_path: Path) -> None:
    found = inspected(str(tmp_path), "--follow", other)
    assert found.returncode == 2
    assert "--follow goes alone" in found.stderr
