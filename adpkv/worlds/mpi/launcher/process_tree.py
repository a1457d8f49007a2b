"""The processes of one mpirun on this host: which of them are ranks, how to signal or end them, and
what they leave behind."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from adpkv.flight_recorder.processes import descendants, living_state, start_ticks
from adpkv.worlds.mpi.launcher.segments import (
    remove_with_their_job,
    segments_of,
    segments_of_job,
)

__all__ = ["ProcessTree", "die_with_parent"]

RANK_MARKS: Final = (b"OMPI_COMM_WORLD_RANK=", b"PMI_RANK=")
SESSION: Final = "ompi."
"""The beginning of the name of Open MPI's session folder; mpirun's process id follows."""

SESSION_OF_RANK: Final = "PMIX_SERVER_TMPDIR"
"""The variable that tells a rank where this folder is."""

CODE: Final = "adpkv-exit-code"
"""A file in that folder: the exit code that the ranks agreed on, for a parent whose mpirun does not
report it. It is removed with the folder."""

JOB_MARK: Final = (b"PMIX_NAMESPACE=",)
PR_SET_PDEATHSIG: Final = 1

LEAVE_BOUND_S: Final = 2.0
LOOK_S: Final = 0.02
LIVING: Final = ("alive", "stopped")


def die_with_parent() -> None:
    """In the child, before exec: get SIGTERM if the parent dies (on Linux)."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)


class ProcessTree:
    """mpirun by its process id, and all its descendants.

    `of_job`: only the ranks of this process's job, by the name that the launcher gave it; an
    orphaned rank's parent (init) has children of all kinds. `place`: where mpirun has its session
    folder, for a process that started it.
    """

    def __init__(self, pid: int, *, of_job: bool = False, place: Path | None = None) -> None:
        self._pid = pid
        told = os.environ.get(SESSION_OF_RANK) if place is None else None
        self._session = (
            Path(told) if told else (place or Path(tempfile.gettempdir())) / f"{SESSION}{pid}"
        )
        self._name = _words(os.getpid(), JOB_MARK) if of_job else []

    def everything(self) -> list[int]:
        """All living descendants of mpirun, itself not included."""
        return descendants(self._pid)

    def begun(self) -> dict[int, int]:
        """The same, each with its start time in clock ticks."""
        return {pid: start_ticks(pid) for pid in self.everything()}

    def ranks(self) -> list[int]:
        """The processes that the launcher made ranks, without processes that those started."""
        found = [pid for pid in self.everything() if _is_rank(pid)]
        if self._name:
            found = [pid for pid in found if _words(pid, JOB_MARK) == self._name]
        return [pid for pid in found if _parent(pid) not in found]

    def launcher_number(self, pid: int, names: Sequence[str]) -> int | None:
        """An integer that the launcher put into a rank's environment: the first of these variables
        that is set; None if none is."""
        for name in names:
            words = _words(pid, (f"{name}=".encode(),))
            if words and words[0].partition(b"=")[2].isdigit():
                return int(words[0].partition(b"=")[2])
        return None

    def signal_ranks(self, number: int) -> None:
        """Send a signal to each rank of this host."""
        _send(self.ranks(), number)

    def segments(self) -> set[str]:
        """The shared memory that its ranks of this host use now, as paths."""
        return set().union(*(segments_of(pid) for pid in self.ranks()))

    def end_left(self, seen: Mapping[int, int]) -> None:
        """mpirun has ended. Processes of `seen` (process ids with start times) for which it did not
        wait get a moment to exit, and are then killed."""
        until_s = time.monotonic() + LEAVE_BOUND_S
        killed = False
        while left := [pid for pid, ticks in seen.items() if living_state(pid, ticks) in LIVING]:
            if time.monotonic() >= until_s:
                if killed:
                    return  # in the system's hands
                _send(left, signal.SIGKILL)
                killed, until_s = True, until_s + LEAVE_BOUND_S
            time.sleep(LOOK_S)

    def clean_up(self, segments: Iterable[str]) -> None:
        """mpirun has ended: remove what a killed mpirun or killed ranks leave behind. `segments`:
        the shared memory that was seen; some of it is enough."""
        remove_with_their_job({*segments, *segments_of_job(self._pid)})
        shutil.rmtree(self._session, ignore_errors=True)

    def leave_code(self, code: int) -> None:
        """To be called by a rank, whose parent is this mpirun: write down what the job ends with.
        The first code stays. Where there is no session folder, nothing is written."""
        with suppress(OSError), (self._session / CODE).open("x") as file:
            file.write(str(code))

    def left_code(self) -> int | None:
        """The exit code that its ranks have written down; None if there is none."""
        try:
            return int((self._session / CODE).read_text())
        except (OSError, ValueError):
            return None

    def kill_others(self) -> None:
        """To be called by a rank, whose parent is this mpirun: kill the other ranks of its job on
        this host. They are recognized by the job's name, since an orphaned rank's parent (init) has
        children of all kinds."""
        own = _words(os.getpid(), JOB_MARK)
        others = [pid for pid in self.ranks() if pid != os.getpid()]
        _send([pid for pid in others if own and _words(pid, JOB_MARK) == own], signal.SIGKILL)

    def kill(self, pids: Iterable[int]) -> None:
        """Kill those of `pids`, descendants of this mpirun, that are left."""
        left = [pid for pid in pids if _is_rank(pid) or pid in self.everything()]
        _send(left, signal.SIGKILL)


def _send(pids: Iterable[int], number: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _is_rank(pid: int) -> bool:
    return bool(_words(pid, RANK_MARKS))


def _words(pid: int, marks: tuple[bytes, ...]) -> list[bytes]:
    """The entries of a process's environment that begin with one of these marks."""
    try:
        words = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []
    return [word for word in words if word.startswith(marks)]


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError, ValueError):
        return -1
