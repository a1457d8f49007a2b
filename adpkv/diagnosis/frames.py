"""Python stacks of threads and of suspended coroutines, as a few short lines."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final

__all__ = ["dumped_stack", "program_stack", "thread_stack"]

_PACKAGE: Final = Path(__file__).parents[1]
_DUMPED: Final = re.compile(r'\s+File "(.*)", line (\d+) in (.*)')

MOST_FRAMES: Final = 16
"""The innermost frames, which show where a rank is."""


def program_stack(program: Any) -> tuple[str, ...]:
    """The stack of a suspended coroutine, outermost frame first."""
    found: list[str] = []
    while program is not None:
        frame = getattr(program, "cr_frame", None) or getattr(program, "gi_frame", None)
        if frame is not None and frame.f_code.co_name != "__await__":
            found.append(_line(frame.f_code, frame.f_lineno))
        program = getattr(program, "cr_await", None)
    return tuple(found[-MOST_FRAMES:])


def thread_stack(ident: int) -> tuple[str, ...]:
    """The stack of a thread of this process right now, outermost frame first; empty if the thread
    is gone."""
    found: list[str] = []
    frame: FrameType | None = sys._current_frames().get(ident)
    while frame is not None:
        found.append(_line(frame.f_code, frame.f_lineno))
        frame = frame.f_back
    return tuple(reversed(found[:MOST_FRAMES]))


def dumped_stack(text: str) -> tuple[str, ...]:
    """The stack of the thread that got the signal, from `faulthandler`'s text, outermost frame
    first."""
    _, _, own = text.rpartition("Current thread")
    found = []
    for line in own.splitlines()[1:]:
        frame = _DUMPED.match(line)
        if frame is None:
            break
        found.append(_describe(frame[1], int(frame[2]), frame[3]))
    return tuple(reversed(found[:MOST_FRAMES]))


def _line(code: CodeType, number: int) -> str:
    return _describe(code.co_filename, number, code.co_name)


def _describe(file: str, number: int, function: str) -> str:
    """`executor/loop.py:34 run`: the file is relative to the package."""
    path = Path(file)
    if path.is_relative_to(_PACKAGE):
        name = path.relative_to(_PACKAGE).as_posix()
    else:
        name = "/".join(path.parts[-2:])
    return f"{name}:{number} {function}"
