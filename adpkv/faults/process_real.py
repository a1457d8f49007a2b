"""What a fault of the process is on a real rank: a real signal to this process.

A stopped process cannot wake itself. So a small program of its own sends STOP, sleeps and sends
CONT; it is executed afresh, because a process that called MPI_Init must not fork and go on.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from typing import Final

from adpkv.executor.collectives import Operation

__all__ = ["RealProcessFaults"]

NS_PER_S: Final = 1_000_000_000
_STOP: Final = 'kill -STOP "$1"; sleep "$2"; kill -CONT "$1"'


class RealProcessFaults:
    """`faults.process.ProcessFaultInjector` of this process; `flush` writes down what is known
    before it fails."""

    def __init__(self, flush: Callable[[], None]) -> None:
        self._flush = flush

    def __call__(self, kind: str, duration_ns: int, before: Operation) -> Operation | None:
        """Do it to this process, now; there is nothing to await."""
        if kind == "sigkill":
            self._flush()
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "sigstop":
            seconds = f"{duration_ns / NS_PER_S:f}"
            helper = ["/bin/sh", "-c", _STOP, "stop", str(os.getpid()), seconds]
            # Waiting for it is standing still until it has sent CONT.
            subprocess.run(helper, stdin=subprocess.DEVNULL, check=False)
        return None
