"""Faults of the process under MPI: a real signal to this process.

A suspended process cannot resume itself. So a helper process sends SIGSTOP, sleeps and sends
SIGCONT. The helper is a shell that is started with exec, because a process that called MPI_Init
must not fork and continue in the child.
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
    """The `faults.process.ProcessFaultInjector` of this process. `flush` writes out what is
    buffered before the process is killed."""

    def __init__(self, flush: Callable[[], None]) -> None:
        self._flush = flush

    def __call__(self, kind: str, duration_ns: int, before: Operation) -> Operation | None:
        """Hit this process now; there is nothing to await afterwards."""
        if kind == "sigkill":
            self._flush()
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "sigstop":
            seconds = f"{duration_ns / NS_PER_S:f}"
            helper = ["/bin/sh", "-c", _STOP, "stop", str(os.getpid()), seconds]
            # This wait ends after the helper has sent SIGCONT.
            subprocess.run(helper, stdin=subprocess.DEVNULL, check=False)
        return None
