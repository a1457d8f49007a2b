"""Paths that no file can have: the system says so with an error of its own, and `pathlib` passes
some of those on where it is asked whether there is such a file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.child import command

LONG = "x" * 5000
NAMES = (LONG, f"a/{LONG}", "loop/x", "/dev/null/x", "\udcff")
CALLS = (
    ("inspect", "{}"),
    ("story", "1", "--out", "{}"),
    ("validate", "{}"),
    ("validate", "trace-sample", "--set", "workload.path={}"),
    ("simulate", "four-ranks", "--quiet", "--out", "{}"),
    ("init", "new", "--from", "{}"),
    ("regress", "--from", "{}", "1"),
)


@pytest.mark.parametrize("call", CALLS, ids=" ".join)
def test_a_path_that_cannot_be_is_told(call: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    for name in NAMES:
        said = command([word.format(name) for word in call], tmp_path)
        if said.code == 0:
            assert name == "\udcff", "a folder may be called so"
            continue
        assert (said.code, "Traceback" in said.err) == (2, False), f"{name[:9]}: {said.err[-500:]}"
        assert said.err


REMOVING = """
import os

from adpkv.ports import NEVER, Arrival


class Workload:
    def __init__(self, requests):
        self.total, self._taken = requests, 0

    def due_ns(self):
        return self._taken * 1_000_000 if self._taken < self.total else NEVER

    def take(self):
        self._taken += 1
        if self._taken == 5:
            os.rmdir(os.getcwd())
        return Arrival(self._taken * 1_000_000, 64, 4)

    def ended(self, now_ns, number):
        pass
"""
"""A workload that removes the working folder in the middle of its requests."""


def test_a_working_folder_that_is_removed_meanwhile_ends_no_simulation(tmp_path: Path) -> None:
    gone, out = tmp_path / "gone", tmp_path / "out"
    gone.mkdir()
    (tmp_path / "removing.py").write_text(REMOVING)
    experiment = tmp_path / "e.yaml"
    experiment.write_text(
        "name: e\ntopology: {context: {ranks: 1}, generation: {ranks: 1}}\n"
        "workload: {kind: 'removing:Workload', requests: 9}\n"
    )
    said = subprocess.run(
        [sys.executable, "-m", "adpkv", "simulate", str(experiment), "--out", str(out)],
        cwd=gone,
        env={**os.environ, "PYTHONPATH": f"{Path(__file__).parents[2]}:{tmp_path}"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout.splitlines()[-1] == f"files: {out}"
    assert not gone.exists()


@pytest.mark.parametrize(
    "call", [("simulate", "quickstart", "--quiet"), ("run", "quickstart"), ("calibrate", "x")]
)
def test_a_working_folder_that_is_gone_is_told(call: tuple[str, ...], tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    said = subprocess.run(
        ["sh", "-c", 'rmdir "$PWD"; exec "$0" -m adpkv "$@"', sys.executable, *call],
        cwd=gone,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=60,
    )
    told = "adpkv: the working folder is gone: change to one that is there\n"
    assert (said.returncode, said.stderr) == (2, told)
