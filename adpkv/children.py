"""A child process with a bound: in a session of its own, never waited out, never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Ended", "run_bounded"]


class Ended(NamedTuple):
    """How a child ended."""

    code: int | None
    """Its return code; None for one that was killed because the bound was over."""
    out: str
    err: str


def run_bounded(command: Sequence[str], bound_s: float, *, keep_output: bool = True) -> Ended:
    """Run it, without input, for at most `bound_s` seconds; then, and where this process is
    interrupted meanwhile, its whole session is killed. Its output is read, or thrown away."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if keep_output else subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=bound_s)
        return Ended(process.returncode, out or "", err)
    except subprocess.TimeoutExpired:
        _kill(process)
        out, err = process.communicate()
        return Ended(None, out or "", err)
    except BaseException:
        # Ctrl-C does not reach a session of its own.
        _kill(process)
        process.communicate()
        raise


def _kill(process: subprocess.Popen[str]) -> None:
    # The session is ours alone; mpirun, in one of its own, and the ranks fail with their parent.
    os.killpg(process.pid, signal.SIGKILL)
