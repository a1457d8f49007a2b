"""What `/proc` says about the processes of this host."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

__all__ = ["LivingState", "descendants", "is_there", "living_state", "start_ticks"]

LivingState = str
"""`alive`, `stopped`, `failed` (ended, and nobody has asked how), or `gone`."""

_PROC: Final = Path("/proc")
_STOPPED, _ENDED = "Tt", "ZXx"


def _stat(pid: int) -> list[str]:
    """Fields of `stat` from the state on; none if there is no such process."""
    try:
        # "PID (NAME) STATE PPID ...", and the name may hold anything.
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def start_ticks(pid: int) -> int:
    """When a process began, in ticks since the machine did; 0 if it is not there. With its id, it
    names a process for good."""
    fields = _stat(pid)
    return int(fields[19]) if len(fields) > 19 else 0


def living_state(pid: int, ticks: int) -> LivingState:
    """What has become of the process that had this id and began then."""
    fields = _stat(pid)
    if len(fields) < 20 or int(fields[19]) != ticks:
        return "gone"
    if fields[0] in _ENDED:
        return "ended"
    return "stopped" if fields[0] in _STOPPED else "alive"


def descendants(pid: int) -> list[int]:
    """Every process that descends from this one now, itself and ended ones not counted."""
    children: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdecimal():
            with suppress(ValueError, IndexError):
                state, parent = _stat(int(entry.name))[:2]
                if state != "Z":
                    children.setdefault(int(parent), []).append(int(entry.name))
    found: list[int] = []
    reached = [pid]
    while reached:
        below = children.get(reached.pop(), [])
        found += below
        reached += below
    return found


def is_there(pid: int) -> bool:
    """Whether some process has this id now."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
