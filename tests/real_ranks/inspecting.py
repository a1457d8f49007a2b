"""What tests of `adpkv inspect` on real jobs have in common: a job that hangs, and looks at it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from adpkv.errors import UsageError
from adpkv.flight_recorder.job_directory import all_jobs, read_info
from adpkv.inspect.locate import find
from adpkv.inspect.snapshot import Doing, Survey, take_survey

__all__ = [
    "BIN",
    "BOUND_S",
    "MPIRUN",
    "Hanging",
    "hangs",
    "hung",
    "inspected",
    "kill_all",
    "left_of",
    "until",
]

BIN = Path(sys.executable).parent
MPIRUN = [str(BIN / "mpirun"), "-n", "4"]
BOUND_S = 60.0
LOOK_S = 0.05


def left_of(out: Path) -> list[Path]:
    """What shared memory holds of the job that writes into this folder."""
    found = [(path, read_info(path)) for path in all_jobs()]
    return [path for path, note in found if note is not None and note.folder == str(out)]


def until(
    out: Path, job: subprocess.Popen[str], happens: Callable[[Survey], object]
) -> tuple[Path, Survey]:
    """Look at the job until this is seen."""
    until_s = time.monotonic() + BOUND_S
    while True:
        assert job.poll() is None, job.communicate()
        try:
            folder = find(str(out))
            survey = take_survey(folder)
        except UsageError:
            pass  # on its way
        else:
            if happens(survey):
                return folder, survey
        assert time.monotonic() < until_s, "not seen within the time"
        time.sleep(LOOK_S)


def kill_all(survey: Survey) -> None:
    """All ranks at one instant: those that see others fail would leave by themselves."""
    for one in survey.ranks:
        os.kill(one.pid, signal.SIGSTOP)
    for one in survey.ranks:
        with suppress(ProcessLookupError):  # mpirun is as quick to kill the others
            os.kill(one.pid, signal.SIGKILL)


def inspected(*argv: str) -> Any:
    found = subprocess.run(
        [BIN / "adpkv", "inspect", *argv, "--json"],
        capture_output=True,
        text=True,
        timeout=BOUND_S,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout)


def hangs(survey: Survey) -> bool:
    """Rank 3 is alone, its peer waits for it in sync, and the others have nothing to do."""
    return (
        len(survey.ranks) == 4
        and survey.ranks[3].doing is Doing.ALONE
        and survey.ranks[2].site == "sync"
        and survey.ranks[2].doing is Doing.COLLECTIVE
    )


Hanging = tuple[subprocess.Popen[str], Path, Survey, Path]


def hung(jobs, out: Path, *name: str) -> Hanging:
    """A job with a rank that stands still alone, its folder in shared memory, how it is, and where
    it writes. It may be given a name."""
    program = [sys.executable, "-m", "tests.real_ranks.programs.paused"]
    job = jobs.start([*MPIRUN, *program, str(out), *name])
    return job, *until(out, job, hangs), out
