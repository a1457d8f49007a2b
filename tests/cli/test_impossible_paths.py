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
