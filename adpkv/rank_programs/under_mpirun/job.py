"""A test on real ranks, from the pytest that has it: starts the job, and says what became of it.

The job is a process of its own: whatever it does, this session goes on. Each rank is a pytest with
this one test. The first rank that fails is told first; then the others get a moment, say where they
are, and are ended.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from adpkv.flight_recorder.processes import living_state
from adpkv.launcher_variables import without_launcher
from adpkv.python_module import python_module
from adpkv.rank_programs.under_mpirun.outcome import (
    FOLDER,
    OPTIONS,
    OUTPUT,
    WHERE,
    Outcome,
    State,
    crash_file,
    read,
)

__all__ = ["BodyJob"]

LOOK_S: Final = 0.05
START_S: Final = 60.0
"""Until every rank has begun the body. From there on the test's own bound counts."""

GRACE_S: Final = 1.0
"""After a rank has failed, the others get this long to end by themselves."""

TELL_S: Final = 1.0
"""For ranks to say where they are."""

LEAVE_S: Final = 5.0
"""From the last rank's word to the end of the job: MPI_Finalize."""

END_S: Final = 15.0
"""From the request to end to the end; then it is killed."""

GONE: Final = "its process has exited, or was killed, without a word"
CURRENT: Final = "Current thread"
PLUGIN: Final = os.path.join("adpkv", "rank_programs", "pytest_plugin.py")
"""Where the body's own frames end."""

NAMED: Final = re.compile(r"Process name: \[[^\]]*,(\d+)\]")
"""How mpirun names the rank for which it ends a job."""

MOST_OUTPUT: Final = 20
"""Lines of a job's output in a report."""

OWN: Final = frozenset({
    "basetemp", "capture", "collectonly", "color", "cov_source", "cov_report", "deselect", "dist",
    "durations", "failedfirst", "file_or_dir", "help", "inifilename", "junitxml", "keyword", "lf",
    "lfnf", "log_file", "markexpr", "maxfail", "maxprocesses", "maxworkerrestart", "newfirst",
    "no_print_logs", "numprocesses", "override_ini", "plugins", "px", "quiet", "reportchars",
    "rootdir", "runxfail", "setuponly", "setupplan", "setupshow", "show_fixtures", "stepwise",
    "stepwise_skip", "tx", "usepdb", "verbose", "xmlpath", "adpkv_replay",
})  # fmt: skip
"""Options that are not the ranks': what to run, beside whom, and what to print."""


class BodyJob:
    """One test on so many ranks; a context, after which nothing is left of it."""

    def __init__(self, item: pytest.Function, ranks: int, seconds: float) -> None:
        self._item, self.ranks, self.seconds = item, ranks, seconds
        self._made = tempfile.TemporaryDirectory(prefix="adpkv-ranks-", ignore_cleanup_errors=True)
        self._folder = Path(self._made.name)
        self._job: subprocess.Popen[bytes] | None = None
        self.hung = False
        """It was ended because of its bound."""

    def __enter__(self) -> BodyJob:
        folder = self._folder
        (folder / OPTIONS).write_bytes(msgspec.json.encode(_options(self._item.config)))
        environment = without_launcher(os.environ)
        for name in [name for name in environment if name.startswith("PYTEST_XDIST_")]:
            del environment[name]
        environment |= {FOLDER: str(folder), **_rendezvous(self.ranks)}
        command = python_module("adpkv.worlds.mpi.launcher.any_program")
        with (folder / OUTPUT).open("wb") as output:
            self._job = subprocess.Popen(
                [*command, str(self.ranks), *_own_pytest(self._item, folder)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                cwd=self._item.config.invocation_params.dir,
                start_new_session=True,  # Ctrl-C is this session's, which then ends the job
            )
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
        self._made.cleanup()

    def outcomes(self) -> list[Outcome]:
        """Wait for the ranks, no longer than the bound; those whose process has begun, in order."""
        until_s = time.monotonic() + START_S
        begun = False
        failed_s: float | None = None
        while True:
            found = self._look()
            over = len(found) == self.ranks and all(one.ended for one in found)
            now_s = time.monotonic()
            if not begun and found and all(one.state is not State.STARTING for one in found):
                begun = len(found) == self.ranks
                until_s = now_s + self.seconds if begun else until_s
            if failed_s is None and any(one.state is State.FAILED for one in found):
                failed_s = now_s
            self.hung = now_s >= until_s
            waited = failed_s is not None and now_s >= failed_s + GRACE_S
            if self.hung or waited:
                return found if over else self._ask()
            if over or self._ended():
                self._leave(until_s)
                return self._look()
            time.sleep(LOOK_S)

    def output(self) -> list[str]:
        """The last lines that the job has printed."""
        text = (self._folder / OUTPUT).read_text(errors="replace")
        return text.splitlines()[-MOST_OUTPUT:]

    def blamed(self) -> int | None:
        """The rank for which mpirun has ended the job, as it says; None if it says none."""
        found = NAMED.search("\n".join(self.output()))
        return int(found[1]) if found else None

    def _look(self) -> list[Outcome]:
        found = [one for rank in range(self.ranks) if (one := read(self._folder, rank))]
        return [self._gone(one) or one for one in found]

    def _gone(self, seen: Outcome) -> Outcome | None:
        """A rank whose process has gone without a word."""
        if seen.ended or living_state(seen.pid, seen.ticks) not in ("ended", "gone"):
            return None
        now = read(self._folder, seen.rank)
        if now is None or now.ended:
            return now
        told, text = _crash(crash_file(self._folder, seen.rank))
        return msgspec.structs.replace(now, state=State.FAILED, message=told, text=text)

    def _ask(self) -> list[Outcome]:
        """Those that have not ended say where they are."""
        (self._folder / WHERE).touch()
        until_s = time.monotonic() + TELL_S
        while True:
            found = self._look()
            if all(one.ended or one.place for one in found) or time.monotonic() >= until_s:
                return found
            time.sleep(LOOK_S)

    def _ended(self) -> bool:
        return self._job is None or self._job.poll() is not None

    def _leave(self, until_s: float) -> None:
        """Every rank has said how it ended: what is left is MPI's."""
        assert self._job is not None, "the job has begun"
        with suppress(subprocess.TimeoutExpired):
            self._job.wait(max(LOOK_S, min(LEAVE_S, until_s - time.monotonic())))

    def _end(self) -> None:
        job = self._job
        if job is None or job.poll() is not None:
            return
        job.send_signal(signal.SIGTERM)
        try:
            job.wait(END_S)
        finally:
            if job.poll() is None:
                job.kill()
                job.wait()


def _crash(file: Path) -> tuple[str, str]:
    """What Python has written as a signal ended it: which one, and the body's frames."""
    lines = file.read_text(errors="replace").splitlines() if file.exists() else []
    if not lines:
        return GONE, ""
    main = next((i for i, line in enumerate(lines) if line.startswith(CURRENT)), 0)
    frames = [line for line in lines[main + 1 :] if line.startswith("  File ")]
    ours = next((i for i, line in enumerate(frames) if PLUGIN in line), len(frames))
    return lines[0], "\n".join([lines[main], *frames[:ours]])


def _own_pytest(item: pytest.Function, folder: Path) -> list[str]:
    """The command of a rank: this test alone, with this session's configuration."""
    config = item.config
    name = item.nodeid.partition("::")[2]
    # As this session's own pytest: only `python -m pytest` puts the current folder first.
    safe = [] if {"", os.getcwd()} & set(sys.path) else ["-P"]
    call = [sys.executable, *safe, "-m", "pytest", f"{item.path}::{name}", "-q", "--runxfail"]
    call += ["--rootdir", str(config.rootpath), "-o", f"cache_dir={folder / 'cache'}"]
    if config.inipath is not None:
        call += ["-c", str(config.inipath)]
    given = config.invocation_params.args
    for flag, value in pairwise(given):
        call += ["-p", str(value)] if flag == "-p" else []
    call += ["-p", "no:faulthandler"]
    return call + (["-n0"] if config.pluginmanager.hasplugin("xdist") else [])


def _options(config: pytest.Config) -> dict[str, Any]:
    """What ranks take over: `--my-option=3` of the user's own conftest too."""
    plain = (str, int, float, bool, type(None))
    return {
        name: value
        for name, value in vars(config.option).items()
        if name not in OWN and isinstance(value, plain)
    }


def _rendezvous(ranks: int) -> dict[str, str]:
    """Where torch's ranks meet: a port that is free now. Their numbers come from mpirun."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(ranks)}
