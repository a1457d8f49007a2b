"""Watches a job start from outside, so that no rank waits for ever for one that failed while it
started.

Until all ranks are connected, MPI does not report a failed one: the others hang in MPI_Init for
good. So each rank shows its stage in the name of its process (`ps` and `top` show it too). Two
observers read the processes of a host: a thread of each rank that starts, and `adpkv run`, the
launcher's parent. For this thread MPI_Init is called without the interpreter's lock, which mpi4py's
own call would hold.

Ranks of other hosts cannot be seen. If one of them is lost, waiting for it ends after a time limit.
"""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

from adpkv.exit_codes import ExitCode
from adpkv.flight_recorder.processes import living_state, start_ticks
from adpkv.worlds.mpi.killing import end_host
from adpkv.worlds.mpi.launcher.process_tree import ProcessTree

__all__ = [
    "RANKS",
    "STARTED",
    "START_BOUND_S",
    "Stage",
    "StartWatch",
    "at_stage",
    "describe",
    "leave_to_watch",
    "stage_of",
    "start_mpi",
]

START_BOUND_S: Final = 300.0
"""From the first time that a rank of this host is seen until all of them run: MPI_Init and all that
is built, on rank 0 the workload too. Thousands of ranks take a minute or two; whose own workload or
trace takes rank 0 longer than this cannot start."""

GONE_S: Final = 1.0
"""After a rank has failed, the others get this long to notice it themselves, and to end the job
with a better message."""

ABSENT_S: Final = 2.0
"""A launcher starts the ranks of a host within milliseconds of each other. If a rank has not been
seen after another has been in MPI_Init for this long, it was there and failed."""

WATCHED_S: Final = 2 * GONE_S
"""How long a rank that heard of a failure from MPI waits for its own watch, which knows whose it
was."""

LOOK_S: Final = 0.1
PR_SET_NAME: Final = 15
THREAD_MULTIPLE: Final = 3
LOCAL_SIZES: Final = ("OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS")
RANKS: Final = ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK")


class Stage(StrEnum):
    """How far a rank has come, as the name of its process; at most 15 characters. Ranks meet
    twice: after MPI_Init, and when they are built."""

    LOAD = "adpkv:load"
    INIT = "adpkv:init"
    MEET = "adpkv:meet"
    BUILD = "adpkv:build"
    RUN = "adpkv:run"
    LEAVE = "adpkv:leave"


WORDS: Final[Mapping[str, str]] = {
    Stage.LOAD: "reading the experiment",
    Stage.INIT: "in MPI_Init",
    Stage.MEET: "waiting for the others",
    Stage.BUILD: "making its memory and connections",
    Stage.RUN: "running",
    Stage.LEAVE: "leaving",
}
WORKLOAD: Final = ", or reading the workload"
"""What rank 0 builds besides: the coordinator, and what it gives to it."""
BEGUN: Final = "as its process began"
STARTED: Final = (Stage.RUN, Stage.LEAVE)
"""The stages of a rank whose start is over."""


class ObservedRank(NamedTuple):
    """A rank's process as it was last observed."""

    rank: int
    ticks: int
    stage: str


def at_stage(stage: Stage) -> None:
    """This rank has come so far. Only in the main thread."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_NAME, stage.value.encode(), 0, 0, 0)


def start_mpi() -> None:
    """MPI_Init, watched until this rank runs. To be called before anything else imports mpi4py's
    MPI."""
    import mpi4py

    at_stage(Stage.INIT)
    threading.Thread(target=_watch, name="start", daemon=True).start()
    mpi4py.rc.initialize = False
    from mpi4py import MPI

    provided = ctypes.c_int()
    init = ctypes.CDLL(MPI.__file__).MPI_Init_thread
    code = init(None, None, THREAD_MULTIPLE, ctypes.byref(provided))
    if code:
        end_host(ExitCode.INTERNAL_ERROR, f"adpkv: MPI_Init ends with {code}")
    # mpi4py does this where it initializes MPI itself.
    for communicator in (MPI.COMM_WORLD, MPI.COMM_SELF):
        communicator.Set_errhandler(MPI.ERRORS_RETURN)
    at_stage(Stage.MEET)


def _watch() -> None:
    """Runs in a thread of its own while this rank starts."""
    watch = StartWatch(ProcessTree(os.getppid(), of_job=True))
    while stage_of(os.getpid()) not in STARTED:
        why = watch.look()
        if why:
            end_host(ExitCode.RANK_LOST, f"adpkv: {why}")
        time.sleep(LOOK_S)


def leave_to_watch() -> None:
    """MPI has told this rank, which still starts, that some rank has failed. The thread that
    watches the start knows which one, and how far it had come, and ends the job with that. Comes
    back after a time limit, if the rank was another host's."""
    time.sleep(WATCHED_S)


class StartWatch:
    """Observes the ranks of one host while they start. `patience_s`: how much longer to wait than
    other observers, which are to act first."""

    def __init__(self, job: ProcessTree, patience_s: float = 0.0) -> None:
        self._job, self._patience_s = job, patience_s
        self.seen: dict[int, ObservedRank] = {}
        self._local = 0
        self._first_s = self._waiting_s = 0.0
        self._gone_s: float | None = None
        self.failed: dict[int, ObservedRank] = {}
        """The ranks, by process id, that were the first to be gone while others still started."""
        self.over = False
        """Every rank of this host runs or has run: from here on they watch each other."""

    def look(self) -> str:
        """Why the job cannot start; empty while it still may."""
        now_s = time.monotonic()
        living = self._look_at_all(now_s)
        stages = {pid: self.seen[pid].stage for pid in living}
        starting = [pid for pid in living if stages[pid] not in STARTED]
        if self.seen and not starting:
            self.over = self._local <= len(self.seen)
        if not starting:
            self._gone_s = None
            return ""
        found = self._lost(living) or self._absent(now_s, list(stages.values()))
        if not found:
            self._gone_s = None
        elif self._gone_s is None:
            self._gone_s = now_s
        elif now_s - self._gone_s >= GONE_S + self._patience_s:
            return found
        if now_s - self._first_s >= START_BOUND_S + self._patience_s:
            return f"not started within {START_BOUND_S:g} s: {self._listed(starting)}"
        return ""

    def _look_at_all(self, now_s: float) -> list[int]:
        """Observe all ranks; returns the process ids of the living ones."""
        living = []
        for pid in self._job.ranks():
            ticks, old = start_ticks(pid), self.seen.get(pid)
            if old is None or old.ticks != ticks:
                rank = self._job.launcher_number(pid, RANKS)
                if rank is None:
                    continue
                local = self._job.launcher_number(pid, LOCAL_SIZES)
                self._local = max(self._local, local or 0)
                self._first_s = self._first_s or now_s
                old = ObservedRank(rank, ticks, "")
            self.seen[pid] = old._replace(stage=stage_of(pid) or old.stage)
            living.append(pid)
        return living

    def _lost(self, living: list[int]) -> str:
        ended = [
            pid
            for pid, seen in self.seen.items()
            if pid not in living
            and seen.stage != Stage.LEAVE
            and living_state(pid, seen.ticks) in ("ended", "gone")
        ]
        if not ended:
            return ""
        self.failed = self.failed or {pid: self.seen[pid] for pid in ended}
        return f"failed while the job started: {self._listed(ended)}"

    def _absent(self, now_s: float, stages: list[str]) -> str:
        """Ranks that were never seen, although others have waited for them."""
        absent = self._local - len(self.seen)
        if absent <= 0 or Stage.INIT not in stages:
            self._waiting_s = 0.0
            return ""
        self._waiting_s = self._waiting_s or now_s
        if now_s - self._waiting_s < ABSENT_S - GONE_S:
            return ""
        known = {seen.rank for seen in self.seen.values()}
        size = next((n for pid in self.seen if (n := self._job.launcher_number(pid, SIZES))), 0)
        missing = [rank for rank in range(size) if rank not in known]
        who = f"rank {missing[0]}" if len(missing) == absent == 1 else f"{absent} of its ranks here"
        if len(missing) == absent > 1:
            who = f"ranks {', '.join(map(str, missing))}"
        return f"failed while the job started: {who} ({BEGUN})"

    def _listed(self, pids: list[int]) -> str:
        return describe({pid: self.seen[pid] for pid in pids})


SIZES: Final = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE")


def describe(seen: Mapping[int, ObservedRank]) -> str:
    """The ranks with their stages, in words."""
    ranks = sorted((one.rank, pid, one.stage) for pid, one in seen.items())
    return ", ".join(
        f"rank {rank} (process {pid}, {_doing(rank, stage)})" for rank, pid, stage in ranks
    )


def _doing(rank: int, stage: str) -> str:
    return WORDS.get(stage, BEGUN) + (WORKLOAD if rank == 0 and stage == Stage.BUILD else "")


def stage_of(pid: int) -> str:
    """The stage of a rank's process; empty before it has one, or when it is gone."""
    try:
        name = Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""
    return name if name in WORDS else ""
