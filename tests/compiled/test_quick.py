"""`quick.c` and the Python for which it stands: the same of both, but for what each round takes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.compiled.in_c import QUICK, ROOT, QuickError, quick_in_c
from tests.conftest import OVER_QUICK

pytest.importorskip("mpi4py")
OVER = ROOT / "tests" / OVER_QUICK


def met(
    folder: Path, environment: Mapping[str, str], *how: str
) -> tuple[str, list[tuple[int, int]]]:
    """What `meets` says, and how many rounds of how many were Python's."""
    folder.mkdir()
    found = subprocess.run(
        [sys.executable, "-m", "tests.compiled.meets", str(folder), *how],
        env={**os.environ, **environment},
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    rounds = re.findall(r"(\d+) of (\d+) rounds", found.stderr)
    return found.stdout, [(int(some), int(all_)) for some, all_ in rounds]


def test_all_that_one_can_see_of_a_collective_is_the_same(tmp_path: Path) -> None:
    """Results, counts, records, slots and errors, and what a reader finds after each."""
    try:
        made = quick_in_c()
    except QuickError as error:
        if "there is no C compiler" in str(error):
            pytest.skip(str(error))
        raise
    said, rounds = met(tmp_path / "python", {})
    assert [some for some, _ in rounds] == [all_ for _, all_ in rounds], "no quick.c here"
    assert len(said.splitlines()) > 100
    for how in ((), ("native",)):
        over = {QUICK: str(made), "PYTHONPATH": str(OVER)}
        quickly, few = met(tmp_path / "-".join(("c", *how)), over, *how)
        assert quickly == said
        for some, all_ in few:
            assert some < all_ / 2, "most are made in C"
