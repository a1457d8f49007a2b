"""How the process of a command ends, once its exit code is known: at once, where it may.

Python takes every object of a process apart at its end, to call the `__del__` of a few. Nothing of
adpkv's has such an end: what has to be closed or told is closed and told before, or is registered
with `atexit`. It is a fifteenth of a short simulation. Who else is in this process may count on it,
programs of ranks, ports, MPI, or a profiler that has called us: then it ends as ever.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import Collection
from contextlib import suppress
from types import FrameType
from typing import Any, Final

__all__ = ["leave"]

DEPENDENCIES: Final = frozenset(
    {
        *("annotated_doc", "annotated_types", "msgspec", "pydantic", "pydantic_core", "rich"),
        *("shellingham", "typer", "typing_extensions", "typing_inspection", "yaml"),
    }
)
"""Packages that leave nothing to be done at the end; numpy and MPI are not among them."""


def leave(code: object, caller: FrameType | None, before: Collection[str]) -> None:
    """End this process with `code`, of a `SystemExit`; returns where Python has to end it.

    Args:
        code: the exit code; None is 0.
        caller: who called the command: nobody but Python itself, or there is more to be done.
        before: the modules that were there before the command began: Python's own, and what the
            environment has it import as it starts.
    """
    if (code is not None and not isinstance(code, int)) or sys.flags.inspect:
        return  # a text, which Python prints; or somebody wants to look at what is left
    if not _is_python(caller) or not _are_known(set(sys.modules).difference(before)):
        return
    ended: Any = threading
    ended._shutdown()  # waits for threads, as Python does itself
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit((code or 0) & 0xFF)


def _is_python(caller: FrameType | None) -> bool:
    """Whether that is the outermost module, with nothing around it but `python -m`."""
    while caller is not None and caller.f_back is not None:
        caller = caller.f_back
        if caller.f_globals.get("__name__") != "runpy":
            return False
    return True


def _are_known(modules: Collection[str]) -> bool:
    """Whether they are Python's own, ours, and what we depend on."""
    known = {"adpkv", *DEPENDENCIES, *sys.stdlib_module_names}
    tops = {name.partition(".")[0] for name in modules}
    return all(top in known or top.startswith("_sysconfigdata") for top in tops)
