"""How the process of a command ends, once its exit code is known: at once, where it may.

Python takes every object of a process apart at its end, to call the `__del__` of a few. Nothing of
adpkv's has such an end: what has to be closed or told is closed and told before, or is registered
with `atexit`. Who else is in this process may count on it: programs of ranks, ports, MPI, a
profiler that has called us, a script with code of its own around the command, or modules that the
environment has Python import at its start. Then it ends as ever. Not seen is a `.pth` file that
does something without importing a module of its own: it has to flush a file that it leaves open.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
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

OURS: Final = "adpkv"

STARTED: Final = frozenset({"__main__", "_distutils_hack"})
"""What may be there at the start: the second is setuptools' in each new environment."""


class _Threads:
    """Waits for threads as it goes away, as Python does itself at its end. What is raised then, by
    Ctrl-C too, Python reports as ignored, and goes on; the exit code remains."""

    def __del__(self) -> None:
        ended: Any = threading
        ended._shutdown()


def leave(code: object, caller: FrameType | None) -> None:
    """End this process with `code`, of a `SystemExit`; returns where Python has to end it.

    Args:
        code: the exit code; None is 0.
        caller: who called the command: nobody but our console script or `python -m`, or there is
            more to be done.
    """
    if (code is not None and not isinstance(code, int)) or sys.flags.inspect:
        return  # a text, which Python prints; or somebody wants to look at what is left
    if not _is_ours(caller) or not _are_known(sys.modules):
        return
    _Threads()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit((code or 0) & 0xFF)


def _is_ours(caller: FrameType | None) -> bool:
    """Whether that is the console script, or one of our modules with nothing around it but
    `python -m`: nobody has code of his own to run after us."""
    if caller is None or caller.f_globals.get("__name__") != "__main__":
        return False
    outer = caller.f_back
    if outer is None:
        return Path(caller.f_code.co_filename).stem == OURS
    while outer is not None:
        if outer.f_globals.get("__name__") != "runpy":
            return False
        outer = outer.f_back
    spec = caller.f_globals.get("__spec__")
    return spec is not None and spec.name.partition(".")[0] == OURS


def _are_known(modules: Collection[str]) -> bool:
    """Whether they are Python's own, ours, and what we depend on."""
    known = {OURS, *STARTED, *DEPENDENCIES, *sys.stdlib_module_names}
    tops = {name.partition(".")[0] for name in modules}
    return all(_is_made(top) for top in tops - known)


def _is_made(top: str) -> bool:
    """Whether such a module has been made by Python's build or by a compiler of modules that are
    looked at themselves: by Cython (PyYAML's) in no file, or by mypyc, beside adpkv, as a library
    of what it compiled."""
    if top == "cython_runtime" or top.startswith(("_cython_", "_sysconfigdata")):
        return True
    file = getattr(sys.modules.get(top), "__file__", None)
    if file is None or not top.endswith("__mypyc"):
        return False
    return Path(file).parent == Path(__file__).parents[2]
