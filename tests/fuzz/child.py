"""The command line in a process of its own, as a user has it, but without the start of a Python.

The process is a fork of this one, which has everything imported: some milliseconds, and nothing
that it does to its streams, its signals or its memory is done to us. It has bounds of processor
time, of memory and of patience, and being killed by one of them is an end like any.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import tempfile
import warnings
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

# What the commands import when they are called is imported here once, not in every child.
import adpkv.config.schema
import adpkv.field_policies
import adpkv.inspect.render
import adpkv.inspect.snapshot
import adpkv.output.screen
import adpkv.output.story_text
import adpkv.worlds.virtual.run  # noqa: F401
from adpkv.cli.app import main

__all__ = ["CPU_S", "Said", "bound_memory", "command"]

CPU_S: Final = 20
MEMORY_BYTES: Final = 1 << 30
"""How much more than what its parent has, of which a fork has it all: a process that ran hundreds
of tests has 2.9 GB of addresses, mostly of its threads' stacks and heaps."""

PATIENCE_S: Final = 240
"""For something that neither computes nor ends."""

UNCAUGHT: Final = 99
"""An exit code of none of ours: what `main` let through."""


@dataclass(frozen=True, slots=True)
class Said:
    """How a command ended."""

    code: int
    """Its exit code; less than nothing: the signal that ended it."""
    out: str
    err: str

    @property
    def took_too_long(self) -> bool:
        """Was it ended for its processor time, or for doing nothing for ever?"""
        return self.code in (-signal.SIGXCPU, -signal.SIGALRM)


def bound_memory(more_bytes: int) -> None:
    """From here on this process may have so much more of address space than it has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + more_bytes, hard))


def command(argv: list[str], cwd: Path, cpu_s: int = CPU_S) -> Said:
    """Run `adpkv ARGV` in `cwd`."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # threads of ours wait for no lock
            pid = os.fork()
        if not pid:
            _be(argv, cwd, out.fileno(), err.fileno(), cpu_s)
        _, status = os.waitpid(pid, 0)
        out.seek(0)
        err.seek(0)
        said = (file.read().decode(errors="replace") for file in (out, err))
        return Said(os.waitstatus_to_exitcode(status), *said)


def _be(argv: list[str], cwd: Path, out: int, err: int, cpu_s: int) -> None:
    """Never comes back."""
    code: object = UNCAUGHT
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(err, 2)
        os.chdir(cwd)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 5))
        bound_memory(MEMORY_BYTES)
        for number in (signal.SIGALRM, signal.SIGXCPU, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        signal.alarm(PATIENCE_S)
        os.environ.pop("COLUMNS", None)
        sys.stdout = sys.__stdout__ = open(1, "w", closefd=False)  # noqa: SIM115
        sys.stderr = sys.__stderr__ = open(2, "w", closefd=False)  # noqa: SIM115
        sys.argv = ["adpkv", *argv]
        main()
        code = 0
    except SystemExit as end:
        code = 0 if end.code is None else end.code
    except BaseException as error:  # nothing that is raised may reach our parent's stack
        os.write(2, f"Traceback, past main: {type(error).__name__}: {error}\n".encode())
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(code if isinstance(code, int) else 1)
