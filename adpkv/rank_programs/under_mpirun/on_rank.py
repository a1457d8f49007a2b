"""The pytest of one rank: it has one test, and writes what becomes of it for its parent."""

from __future__ import annotations

import faulthandler
import importlib
import inspect
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from adpkv.flight_recorder.processes import start_ticks
from adpkv.rank_programs.bodies import Ranks
from adpkv.rank_programs.process_state import launcher_variables
from adpkv.rank_programs.program_files import ProgramFiles
from adpkv.rank_programs.real_ranks import RealRank, finish
from adpkv.rank_programs.sites import short
from adpkv.rank_programs.under_mpirun.outcome import (
    OPTIONS,
    WHERE,
    Outcome,
    State,
    crash_file,
    write,
)
from adpkv.rank_programs.variables import line_of
from adpkv.worlds.mpi.launcher.startup import RANKS, Stage, at_stage

__all__ = ["BodyOnRank", "RealRanks", "perform"]

LOOK_S: Final = 0.05


class RealRanks(Ranks):
    """What a body gets as `ranks` on real ranks."""

    def __init__(self, comm: Any, dist: Any, killed: Callable[[], None]) -> None:
        began_s = time.monotonic()
        super().__init__(
            int(comm.rank), int(comm.size), comm, dist, lambda: time.monotonic() - began_s
        )
        self._killed = killed

    def kill(self, rank: int) -> None:
        """The process of this rank dies here by SIGKILL; on the others nothing happens."""
        if self._known(rank) == self.rank:
            self._killed()
            os.kill(os.getpid(), signal.SIGKILL)


def perform(item: pytest.Function, body: Callable[[Any], Any], killed: Callable[[], None]) -> None:
    """Run the body on this rank, of `mpirun`'s job."""
    from mpi4py import MPI

    at_stage(Stage.RUN)
    if inspect.iscoroutinefunction(item.obj):
        finish(body(RealRank(MPI)))
        return
    dist = _torch() if "torch" in vars(item.module) else None
    body(RealRanks(MPI.COMM_WORLD, dist, killed))


def _torch() -> Any:
    """torch.distributed with its default group; the parent has set the rendezvous's place."""
    dist = importlib.import_module("torch.distributed")
    if not dist.is_initialized():
        dist.init_process_group("gloo")
    return dist


class BodyOnRank:
    """What this rank's pytest has besides: its hooks write the outcome down."""

    def __init__(self, folder: Path, config: pytest.Config, environment: Mapping[str, str]) -> None:
        rank = next(int(environment[name]) for name in RANKS if name in environment)
        self._folder = folder
        pid = os.getpid()
        self._outcome = Outcome(rank, pid, start_ticks(pid), State.STARTING)
        self._lock = threading.Lock()
        self._files = ProgramFiles()
        self._main = threading.get_ident()
        for name, value in launcher_variables(rank, int(environment["WORLD_SIZE"])).items():
            os.environ.setdefault(name, value)  # a free port is there already
        config.option.basetemp = str(folder / f"tmp-{rank}")
        options = msgspec.json.decode((folder / OPTIONS).read_bytes())
        vars(config.option).update(options)
        self._crash = crash_file(folder, rank).open("w")
        faulthandler.enable(self._crash)
        self._note()
        threading.Thread(target=self._watch, name="where", daemon=True).start()

    def begins(self) -> None:
        """The body begins: from here on its bound counts."""
        self._note(state=State.RUNNING)

    def killed(self) -> None:
        """The body ends this rank itself."""
        self._note(state=State.KILLED)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A part of the test is over: what it needs, its body, or what it leaves."""
        if report.failed:
            self._failed(report)
        elif report.skipped:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
            self._note(state=State.SKIPPED, message=reason.removeprefix("Skipped: "))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """The test's file could not be read."""
        if report.failed:
            self._failed(report)

    def pytest_sessionfinish(self) -> None:
        """Everything is over, also what was done after the body."""
        if not self._outcome.ended:
            self._note(state=State.PASSED)
        at_stage(Stage.LEAVE)

    def _failed(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        crash = getattr(report.longrepr, "reprcrash", None)
        text = report.longreprtext
        message = text.strip().splitlines()[-1] if text.strip() else "failed"
        if crash is not None:
            first = crash.message.splitlines()[0] if crash.message else "failed"
            message = f"{first}, at {short(crash.path)}:{crash.lineno}"
        self._note(state=State.FAILED, message=message, text=text)

    def _note(self, **changes: Any) -> None:
        with self._lock:
            if self._outcome.state is State.FAILED:
                changes.pop("state", None)  # the first failure is the one to tell
            self._outcome = msgspec.structs.replace(self._outcome, at_s=time.monotonic(), **changes)
            write(self._folder, self._outcome)

    def _watch(self) -> None:
        """Until the parent asks. The main thread may be inside MPI, where no signal reaches it."""
        while not (self._folder / WHERE).exists():
            time.sleep(LOOK_S)
        code, line = self._files.place(sys._current_frames().get(self._main))
        told = "outside of the test's files"
        if code is not None:
            quoted = line_of(code.co_filename, line)
            told = f"at {short(code.co_filename)}:{line} in {code.co_qualname}: {quoted}"
        self._note(place=told)
