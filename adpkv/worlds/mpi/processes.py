"""The processes of one mpirun on this host: which are ranks, and how to reach or end them."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from adpkv.diagnosis.processes import descendants

__all__ = ["Job", "die_with_parent"]

RANK_MARKS: Final = (b"OMPI_COMM_WORLD_RANK=", b"PMI_RANK=")
PR_SET_PDEATHSIG: Final = 1


def die_with_parent() -> None:
    """In the child, before exec: should the parent be killed, get SIGTERM (on Linux)."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)


class Job:
    """mpirun by its process id, and all that descends from it."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def everything(self) -> list[int]:
        """Every process that descends from mpirun now, itself not counted."""
        return descendants(self._pid)

    def ranks(self) -> list[int]:
        """Those that a launcher made ranks, but not what they started themselves."""
        found = [pid for pid in self.everything() if _is_rank(pid)]
        return [pid for pid in found if _parent(pid) not in found]

    def signal_ranks(self, number: int) -> None:
        """Send a signal to each rank of this host."""
        _send(self.ranks(), number)

    def kill(self, pids: Iterable[int]) -> None:
        """End what is left of `pids`, which descended from this mpirun."""
        left = [pid for pid in pids if _is_rank(pid) or pid in self.everything()]
        _send(left, signal.SIGKILL)


def _send(pids: Iterable[int], number: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _is_rank(pid: int) -> bool:
    try:
        words = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False
    return any(word.startswith(RANK_MARKS) for word in words)


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError, ValueError):
        return -1
