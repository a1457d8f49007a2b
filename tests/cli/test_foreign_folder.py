"""The current folder is the user's: a file of any name in it breaks no process that we start."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.forked import adpkv

SWEEP = ("sweep", "quickstart", "--set", "workload.requests=6", "--vary", "workload.rate=10,20")
EXPLORE = ("explore", "explore", "--seeds", "1:2", "--jobs", "1")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("yaml", "random", "msgspec", "enum"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported from here')\n")
    return tmp_path


@pytest.mark.parametrize("argv", [SWEEP, EXPLORE])
def test_workers_do_not_import_from_it(folder: Path, argv: tuple[str, ...]) -> None:
    done = adpkv(folder, *argv)
    assert done.returncode == 0, done.stderr


def test_nor_do_ranks(folder: Path) -> None:
    """A call without its argument ends as soon as all that a rank begins with is imported."""
    code = "from adpkv.cli.rank import RankCall; print(*RankCall('f').command('j')[:-1])"
    environment = os.environ | {"PYTHONSAFEPATH": "1"}
    said = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=True,
    ).stdout.split()  # fmt: skip
    assert said[1:] == ["-P", "-m", "adpkv.cli.rank"]
    ended = subprocess.run(
        said, cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert "imported from here" not in ended.stderr
    assert "IndexError" in ended.stderr
