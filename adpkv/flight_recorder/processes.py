"""The state of processes of this host, read from `/proc`."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

__all__ = ["LivingState", "descendants", "is_there", "living_state", "start_ticks"]

LivingState = str
"""`alive`, `stopped` (suspended by a signal), `ended` (a zombie: its parent has not waited for it),
or `gone`."""

_PROC: Final = Path("/proc")
_STOPPED, _ENDED = "Tt", "ZXx"


def _stat(pid: int) -> list[str]:
    """The fields of `/proc/PID/stat` from the state on; empty if there is no such process."""
    try:
        # "PID (NAME) STATE PPID ...", and the name may hold anything.
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def start_ticks(pid: int) -> int:
    """When a process began, in clock ticks since boot; 0 if there is no such process. Process ids
    are reused; an id with its start time is unique."""
    fields = _stat(pid)
    return int(fields[19]) if len(fields) > 19 else 0


def living_state(pid: int, ticks: int) -> LivingState:
    """The state of the process that has this id and began at `ticks`."""
    fields = _stat(pid)
    if len(fields) < 20 or int(fields[19]) != ticks:
        return "gone"
    if fields[0] in _ENDED:
        return "ended"
    return "stopped" if fields[0] in _STOPPED else "alive"


def descendants(pid: int) -> list[int]:
    """The ids of all living descendants of a process, itself and zombies not included."""
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
    """Whether a process with this id exists now."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
