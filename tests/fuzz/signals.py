"""Signals for real jobs: one, at a random moment, to whoever started it, to mpirun or to a rank.

Each job has three ranks and serves some requests for about a second. It must end within a bound
with a code that says what happened, and leave no process, and no folder in shared memory.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from adpkv.exit_codes import ExitCode, by_signal, of_process
from adpkv.flight_recorder.processes import living_state
from adpkv.worlds.mpi.launcher.process_tree import LIVING, ProcessTree

__all__ = ["EXPERIMENT", "Plan", "judged", "plan", "signalled"]

EXPERIMENT: Final = """
name: signals
topology: {context: {ranks: 1}, generation: {ranks: 2}}
executor: {drain_timeout: 500ms}
workload:
  kind: script
  requests: [{at: 0s, prompt_tokens: 64, output_tokens: 20, times: 40, every: 25ms}]
"""
NUMBERS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL)
MOST_DELAY_S: Final = 5.0
BOUND_S: Final = 120.0
LEAVE_S: Final = 20.0
LOOK_S: Final = 0.01


@dataclass(frozen=True, slots=True)
class Plan:
    """Who gets which signal, how long after the job was started."""

    to: str
    """`parent`, `mpirun`, or `rank`: the first one found."""
    number: signal.Signals
    delay_s: float


@dataclass(frozen=True, slots=True)
class Ended:
    """What is left of a job."""

    sent: bool
    code: int | None
    err: str
    left: list[int]
    """Its processes that are still there."""
    said: int | None
    """The exit code in `summary.json`."""
    folders: list[Path]


def plan(seed: int) -> Plan:
    """The plan of a seed; neighbours differ in whom they reach."""
    draw = Random(f"signals {seed}")
    to = ("parent", "rank", "mpirun")[seed % 3]
    return Plan(to, draw.choice(NUMBERS), draw.uniform(0.0, MOST_DELAY_S))


def signalled(planned: Plan, folder: Path, bound_s: float = BOUND_S) -> Ended:
    """Run a job, and send the signal."""
    (folder / "it.yaml").write_text(EXPERIMENT)
    with (folder / "err").open("wb") as err:
        job = subprocess.Popen(
            [str(Path(sys.executable).with_name("adpkv")), "run", "it.yaml", "-q", "--out", "out"],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=err,
            start_new_session=True,
            preexec_fn=_free,
        )
    began_s, seen, sent = time.monotonic(), dict[int, int](), False
    try:
        while job.poll() is None and time.monotonic() < began_s + bound_s:
            below = ProcessTree(job.pid).begun()
            seen.update(below)
            if not sent and time.monotonic() > began_s + planned.delay_s:
                sent = _send(planned, job.pid, list(below))
            time.sleep(LOOK_S)
        until_s = time.monotonic() + LEAVE_S
        while (left := _living(seen)) and time.monotonic() < until_s:
            time.sleep(LOOK_S)
    finally:
        for pid in [*_living(seen), *([job.pid] if job.poll() is None else [])]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    shared = Path("/dev/shm").glob(f"adpkv-{os.geteuid()}/*-{job.pid}*")
    err_text = (folder / "err").read_text(errors="replace")
    return Ended(sent, job.poll(), err_text, left, _said(folder / "out"), list(shared))


def _free() -> None:
    """Ranks have large address spaces; a hunter's bound is not theirs."""
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


def _send(planned: Plan, parent: int, below: list[int]) -> bool:
    ranks = ProcessTree(parent).ranks()
    found: dict[str, Callable[[], list[int]]] = {
        "parent": lambda: [parent],
        "mpirun": lambda: [pid for pid in below if pid not in ranks],
        "rank": lambda: ranks,
    }
    pids = found[planned.to]()
    if not pids:
        return False
    with suppress(ProcessLookupError):
        os.kill(pids[0], planned.number)
    return True


def _living(seen: dict[int, int]) -> list[int]:
    return sorted(pid for pid, ticks in seen.items() if living_state(pid, ticks) in LIVING)


def _said(out: Path) -> int | None:
    with suppress(OSError, ValueError):
        code: int = json.loads((out / "summary.json").read_text())["exit_code"]
        return code
    return None


def judged(planned: Plan, ended: Ended) -> list[str]:
    """What was wrong with the end."""
    if ended.code is None:
        return [f"no end within {BOUND_S:.0f} s: {ended.err[-600:]}"]
    found = []
    code = of_process(ended.code)
    if code not in _codes(planned) and ended.sent:
        found.append(f"exit code {ended.code}: {ended.err[-600:]}")
    if not ended.sent and code:
        found.append(f"nothing was sent, and exit code {ended.code}: {ended.err[-600:]}")
    # A rank that is interrupted before it has run a line of ours is Python's to tell.
    interrupted = planned.number == signal.SIGINT and "KeyboardInterrupt" in ended.err
    if "Traceback" in ended.err and not interrupted:
        found.append(f"a traceback: {ended.err[-600:]}")
    killed = planned.number == signal.SIGKILL and planned.to == "parent" and ended.sent
    if not killed and (code == 0) != (ended.said == 0):
        found.append(f"exit code {ended.code}, and summary.json says {ended.said}")
    if ended.left:
        found.append(f"processes are left: {ended.left}")
    if ended.folders and planned.number != signal.SIGKILL:
        found.append(f"folders are left: {[str(path) for path in ended.folders]}")
    return found


def _codes(planned: Plan) -> set[int]:
    """What the job may end with. Where it was over before, with 0; where a rank had no handler yet,
    it is a rank that failed."""
    own = by_signal(planned.number)
    if planned.to == "parent":
        return {ExitCode.COMPLETED, own}
    if planned.number == signal.SIGKILL:
        return {ExitCode.COMPLETED, ExitCode.RANK_LOST} | (
            {own} if planned.to == "mpirun" else set()
        )
    # mpirun ends its ranks with SIGTERM, whatever it was ended by.
    as_it_passes_on = {ExitCode.SIGTERM} if planned.to == "mpirun" else set()
    return {ExitCode.COMPLETED, ExitCode.RANK_LOST, own} | as_it_passes_on
