"""Python stacks of threads and of suspended coroutines, as a few short lines."""

from __future__ import annotations

import ast
import gc
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final

__all__ = ["awaited_by", "dumped_stack", "program_stack", "thread_stack"]

_PACKAGE: Final = Path(__file__).parents[1]
_DUMPED: Final = re.compile(r'\s+File "(.*)", line (\d+) in (.*)')

MOST_FRAMES: Final = 16
"""The innermost frames, which show where a rank is."""


def program_stack(program: Any, phase: str = "") -> tuple[str, ...]:
    """The stack of a suspended coroutine, outermost frame first. `phase`: the function in which it
    is by now, beside the one in which it was suspended (`worlds.virtual.iteration`)."""
    found: list[str] = []
    while program is not None:
        frame = getattr(program, "cr_frame", None) or getattr(program, "gi_frame", None)
        if frame is None:
            found += _compiled(type(program))
        elif frame.f_code.co_name != "__await__":
            found.append(_line(frame.f_code, frame.f_lineno))
        program = awaited_by(program)
    if phase and found and not found[-1].endswith(f" {phase}"):
        file = _PACKAGE / found[-1].partition(":")[0]
        found[-1:] = _awaiting(file, lambda one, _: one.name == phase) or found[-1:]
    return tuple(found[-MOST_FRAMES:])


def awaited_by(program: Any) -> Any:
    """What a suspended coroutine awaits: another coroutine, or the generator of an awaitable. None
    of such a generator, and of a coroutine that has not begun or is over."""
    if hasattr(program, "cr_frame") or hasattr(program, "gi_frame"):
        return getattr(program, "cr_await", None)
    # One that mypyc has compiled does not say what it awaits, but refers to it.
    held = gc.get_referents(program)
    return next((one for one in held if hasattr(one, "send") and hasattr(one, "throw")), None)


def _compiled(kind: type) -> list[str]:
    """Where a suspended coroutine is that mypyc has compiled: it has no frame, but a function with
    a single await, whose name is in that of its class. Nothing of any other coroutine."""
    if not kind.__name__.endswith("_gen") or not kind.__module__.startswith(_PACKAGE.name):
        return []
    file = _PACKAGE.parent / f"{kind.__module__.replace('.', '/')}.py"
    return _awaiting(file, lambda one, owner: kind.__name__ == f"{one.name}_{owner.name}_gen")


def _awaiting(
    file: Path, wanted: Callable[[ast.AsyncFunctionDef, ast.ClassDef], bool]
) -> list[str]:
    """The line of the first await of such a method. Nothing where the source is gone or another by
    now: a hang is told all the same."""
    try:
        owners = ast.parse(file.read_text("utf-8")).body
    except (OSError, SyntaxError, ValueError):
        return []
    for owner in owners:
        for one in owner.body if isinstance(owner, ast.ClassDef) else ():
            if (
                isinstance(owner, ast.ClassDef)
                and isinstance(one, ast.AsyncFunctionDef)
                and wanted(one, owner)
            ):
                awaits = [inner for inner in ast.walk(one) if isinstance(inner, ast.Await)]
                return [_describe(str(file), first.lineno, one.name) for first in awaits[:1]]
    return []


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
