"""Finds the job that a user means: by the id of one of its processes, by the run's folder, or by
the folder with its rings."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from adpkv.errors import UsageError
from adpkv.flight_recorder.job_directory import RINGS, all_jobs, read_info, ring_paths
from adpkv.flight_recorder.processes import descendants, is_there
from adpkv.flight_recorder.reader import Ring

__all__ = ["find"]


PID_DIGITS: Final = 20
"""More digits than any process id has; Python refuses to parse numbers of thousands of digits."""


def find(target: str) -> Path:
    """The folder with the rings of the job that `target` names: a process id (of a rank, of mpirun
    or of `adpkv run`), the folder of a run, or the folder with the rings itself.

    Raises:
        UsageError: there is no such job on this host, or there are several.
    """
    if not target.isdecimal():
        return _of_folder(Path(target))
    if len(target) > PID_DIGITS:
        raise UsageError(f"process {target[:PID_DIGITS]}...: no such process")
    return _of_process(int(target))


def _of_process(pid: int) -> Path:
    below = {pid, *descendants(pid)}
    found = [job for job in all_jobs() if _is_of(job, pid, below)]
    if len(found) > 1:
        raise UsageError(
            f"process {pid}: {len(found)} jobs run below it;"
            f" name one of their own: {', '.join(map(str, _pids(found)))}"
        )
    if not found:
        what = "no part of a run of adpkv on this host" if is_there(pid) else "no such process"
        raise UsageError(f"process {pid}: {what}")
    return found[0]


def _is_of(job: Path, pid: int, below: set[int]) -> bool:
    note = read_info(job)
    if note is not None and note.owner_pid == pid:
        return True
    return any(owner in below for owner in _owners(job))


def _owners(job: Path) -> Iterator[int]:
    for path in ring_paths(job):
        # A ring may vanish as its rank leaves, and one that is being created cannot be read yet.
        with suppress(OSError, UsageError):
            yield Ring.open(path).owner.pid


def _pids(jobs: list[Path]) -> list[int]:
    return [next(_owners(job), 0) for job in jobs]


def _of_folder(path: Path) -> Path:
    if not os.path.isdir(path):
        raise UsageError(f"{path}: no such folder")
    if ring_paths(path):
        return path
    real = os.path.realpath(path)
    for job in all_jobs():
        note = read_info(job)
        if note is not None and os.path.realpath(note.folder) == real:
            return job
    if ring_paths(path / RINGS):
        return path / RINGS
    if (path / "summary.json").exists():
        raise UsageError(f"{path}: this run has ended by itself; summary.json says how")
    raise UsageError(f"{path}: no run of adpkv that is under way, nor what a killed one left")
