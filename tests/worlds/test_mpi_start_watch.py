"""The watch of a job's start: what it says of one that takes too long."""

from __future__ import annotations

import os
from typing import Any, cast

import pytest

from adpkv.worlds.mpi.launcher import startup
from adpkv.worlds.mpi.launcher.process_tree import ProcessTree
from adpkv.worlds.mpi.launcher.startup import START_BOUND_S, Stage, StartWatch


class Job:
    """The processes of a job: one rank, this process."""

    def __init__(self, rank: int) -> None:
        self.rank = rank

    def ranks(self) -> list[int]:
        return [os.getpid()]

    def launcher_number(self, pid: int, names: Any) -> int:
        return self.rank if names == startup.RANKS else 1


@pytest.mark.parametrize(
    ("rank", "doing"),
    [
        (0, "making its memory and connections, or reading the workload"),
        (1, "making its memory and connections"),
    ],
)
def test_who_is_not_built_in_time_is_named(
    monkeypatch: pytest.MonkeyPatch, rank: int, doing: str
) -> None:
    """What rank 0 builds beside itself counts too, and its message says so."""
    now_s = 100.0
    monkeypatch.setattr(startup, "stage_of", lambda pid: Stage.BUILD)
    monkeypatch.setattr(startup.time, "monotonic", lambda: now_s)
    watch = StartWatch(cast(ProcessTree, Job(rank)), patience_s=2.0)
    assert watch.look() == ""
    now_s += START_BOUND_S + 1.5
    assert watch.look() == ""
    now_s += 1.0
    said = f"not started within 300 s: rank {rank} (process {os.getpid()}, {doing})"
    assert watch.look() == said
