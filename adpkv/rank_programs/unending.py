"""Ends what a rank runs, from another thread; and says which rank does not end.

A rank that catches even `Stop` cannot be ended for sure. It is told again, so that as few threads
as possible go on spinning, and no schedule follows.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading
from types import CodeType

from adpkv.errors import UnendingRankError
from adpkv.rank_programs.evidence import Place
from adpkv.rank_programs.failure import Stop
from adpkv.rank_programs.program_files import ProgramFiles
from adpkv.rank_programs.sites import where
from adpkv.rank_programs.variables import line_of

__all__ = ["Here", "end_job", "leave_if_left", "unending"]

Here = tuple[CodeType | None, int]
"""Code and line of the program; no code where it is outside of that."""

TIMES = 4
"""How often a rank is told again, once its time is over."""


def end_job(
    ident: int | None, done: threading.Lock, grace_s: float, files: ProgramFiles, *, at_once: bool
) -> tuple[Here | None, bool]:
    """Wait until a thread has released `done`: where it was when its time was over, None if it was
    in time; and whether it has ended at all. `at_once`: it runs, and must be interrupted; else it
    has been told to end already."""
    if at_once:
        _interrupt(ident)
    if done.acquire(timeout=grace_s):
        return None, True
    here = files.place(sys._current_frames().get(ident or 0))
    for _ in range(TIMES):
        _interrupt(ident)
        if done.acquire(timeout=grace_s / 10):
            return here, True
    return here, False


def unending(rank: int, here: Here) -> UnendingRankError:
    """The error that says which rank it is, and where."""
    code, line = here
    told = f"rank {rank} does not end when it is told to"
    if code is not None:
        place = Place("", "", code.co_filename, line, code.co_qualname)
        told += f"; it is at {where(place)} in {place.function}: {line_of(place.file, line)}"
    return UnendingRankError(told)


def leave_if_left(code: int) -> None:
    """End the process, if a rank's thread is left in it: Python would wait for it, or close its
    coroutines."""
    if not any(thread.name.startswith("rank") for thread in threading.enumerate()):
        return
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _interrupt(ident: int | None) -> None:
    """Raise Stop in a thread that runs Python code. One that waits in C does not notice."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident or 0), ctypes.py_object(Stop))
