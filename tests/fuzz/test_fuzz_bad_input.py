"""Bad input of every kind ends with a documented code and a word, never with a traceback."""

from __future__ import annotations

import mmap
import os
from functools import cache
from pathlib import Path

import pytest

from adpkv.exit_codes import ExitCode
from tests.fuzz import child
from tests.fuzz.hunters import BAD_INPUTS
from tests.fuzz.hunting import Hunt, hunted, replay
from tests.worlds.virtual.seeds import batch, first_quarter

once = cache(hunted)
"""What two tests look at is hunted once."""


def found(hunts: dict[str, Hunt]) -> dict[str, list[str]]:
    return {command: hunt.found for command, hunt in hunts.items() if hunt.found}


@pytest.mark.slow
@pytest.mark.parametrize("hunter", BAD_INPUTS)
@pytest.mark.parametrize("first", first_quarter(80))
def test_any_bad_input(hunter: str, first: int) -> None:
    assert found({replay(hunter, seed): once(hunter, seed) for seed in batch(first)}) == {}


@pytest.mark.parametrize("hunter", BAD_INPUTS)
def test_some_bad_input(hunter: str) -> None:
    assert found({replay(hunter, seed): hunted(hunter, seed) for seed in range(1000, 1003)}) == {}


@pytest.mark.slow
@pytest.mark.parametrize("hunter", ["text", "values", "trace", "override"])
def test_most_of_it_is_bad_and_not_all(hunter: str) -> None:
    """What is always refused at the first look has shown nothing of the second."""
    codes = [once(hunter, seed).code for seed in batch(0)]
    assert codes.count(2) >= 5
    assert codes.count(0) >= 1


def test_a_parent_with_much_memory_leaves_its_children_theirs(tmp_path: Path) -> None:
    """As that of a process that ran hundreds of tests before; and the bound still binds."""
    with mmap.mmap(-1, 2 * child.MEMORY_BYTES, access=mmap.ACCESS_READ):
        assert child.command(["configs", "-h"], tmp_path).code == 0
        pid = os.fork()
        if not pid:
            child.bound_memory(1 << 20)
            try:
                mmap.mmap(-1, 64 << 20)
            except (OSError, MemoryError):
                os._exit(ExitCode.COMPLETED)
            os._exit(ExitCode.INTERNAL_ERROR)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == ExitCode.COMPLETED
