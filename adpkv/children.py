"""Run a child process with a time limit, in a session of its own, and never leave it behind."""

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
    """Its return code; None if it was killed at the time limit."""
    out: str
    err: str


def run_bounded(command: Sequence[str], bound_s: float, *, keep_output: bool = True) -> Ended:
    """Run `command` without input for at most `bound_s` seconds.

    At the time limit, or if this process is interrupted, the child's whole session is killed.
    Stderr is always returned; stdout only with `keep_output`.
    """
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
    # Nobody else is in this session. An mpirun started in another one ends with its parent.
    os.killpg(process.pid, signal.SIGKILL)
