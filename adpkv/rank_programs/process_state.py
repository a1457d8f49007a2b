"""What a process has once and each rank has of its own: environment, arguments, output, modules,
and what others add to it, such as torch's generator.

All of it is exchanged as the baton goes from one rank to the next.
"""

from __future__ import annotations

import contextlib
import os
import random
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

from adpkv.rank_programs.driver import Swapped
from adpkv.rank_programs.modules import ProgramModules

__all__ = ["MOST_OUTPUT", "Generators", "ProcessState", "launcher_variables"]

MOST_OUTPUT: Final = 200
"""Lines of output that are kept of each rank."""


def launcher_variables(rank: int, size: int) -> dict[str, str]:
    """What torchrun sets."""
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(size),
        "LOCAL_WORLD_SIZE": str(size),
        "GROUP_RANK": "0",
        "ROLE_RANK": str(rank),
        "ROLE_WORLD_SIZE": str(size),
        "GROUP_WORLD_SIZE": "1",
        "ROLE_NAME": "default",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": "29500",
        "TORCHELASTIC_RESTART_COUNT": "0",
        "TORCHELASTIC_MAX_RESTARTS": "0",
        "TORCHELASTIC_RUN_ID": "none",
        "OMP_NUM_THREADS": "1",
    }


class Generators(dict[int, random.Random]):
    """By rank; made as they are asked for."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._seed = seed

    def __missing__(self, rank: int) -> random.Random:
        found = self[rank] = random.Random(self._seed * 1_000_003 + rank)
        return found


UNASKED: Final = "RuntimeWarning: Enable tracemalloc to get the object allocation traceback"
"""What Python advises behind a coroutine that nobody awaited; the lines before say where."""


class _Output:
    """The end of a rank's output, line by line; written through where it is shown."""

    encoding = "utf-8"
    errors = "replace"

    def __init__(self, label: str, show: Callable[[str], None] | None) -> None:
        self._label, self._show = label, show
        self._part = ""
        self.lines: list[str] = []

    def write(self, text: str) -> int:
        self._part += text
        *lines, self._part = self._part.split("\n")
        for line in lines:
            self._add(line)
        return len(text)

    def writelines(self, lines: Sequence[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def _add(self, line: str) -> None:
        if line == UNASKED:
            return
        if self._show is not None:
            self._show(f"{self._label}: {line}")
        self.lines.append(line)
        del self.lines[:-MOST_OUTPUT]


class ProcessState:
    """The exchanged state of all ranks. To be used as a context around a number of schedules."""

    def __init__(
        self,
        size: int,
        modules: ProgramModules,
        arguments: Sequence[str],
        more: Sequence[Swapped] = (),
        show: Callable[[str], None] | None = None,
    ) -> None:
        self._size, self._modules, self._more = size, modules, more
        self._arguments, self._show = list(arguments), show
        self.randoms = Generators(0)
        encode = cast("Any", os.environ).encodekey
        self._variables = [
            {encode(k): encode(v) for k, v in launcher_variables(rank, size).items()}
            for rank in range(size)
        ]
        self.outputs: list[_Output] = []
        self._environments: list[dict[Any, Any]] = []
        self._argv: list[list[str]] = []
        self._own: tuple[Any, ...] = ()
        self._folder = os.getcwd()
        self._folders: list[str] = []
        """By rank: its working directory."""
        self._moved = False
        """Has a rank changed its directory in this schedule? Until then nothing is exchanged."""

    def __enter__(self) -> ProcessState:
        environment: Any = os.environ
        self._own = (environment._data, sys.argv, sys.stdout, sys.stderr, sys.excepthook)
        self._folder, self._changes = os.getcwd(), (os.chdir, os.fchdir)
        os.chdir = self._moving(os.chdir)
        os.fchdir = self._moving(os.fchdir)
        return self

    def __exit__(self, *_: object) -> None:
        os.chdir, os.fchdir = self._changes
        self._restore()

    def _moving(self, real: Any) -> Any:
        def change(path: Any) -> None:
            self._moved = True
            real(path)

        return change

    def _move(self, old: int, new: int) -> None:
        if old >= 0:
            with contextlib.suppress(OSError):  # it has removed its own
                self._folders[old] = os.getcwd()
        with contextlib.suppress(OSError):
            self._changes[0](self._folder if new < 0 else self._folders[new])

    def begin(self, seed: int) -> None:
        """A schedule begins: each rank has what a new process has. `seed` is that of the ranks'
        generators."""
        ranks = range(self._size)
        self._environments = [{**self._own[0], **variables} for variables in self._variables]
        self._argv = [list(self._arguments) for _ in ranks]
        self._folders, self._moved = [self._folder for _ in ranks], False
        self.outputs = [_Output(f"rank {rank}", self._show) for rank in ranks]
        self.randoms = Generators(seed)
        self._modules.begin()

    def swap(self, old: int, new: int) -> None:
        """The baton goes from one rank to another; -1 is the process itself."""
        self._modules.swap(old, new)
        for other in self._more:
            other.swap(old, new)
        if self._moved:
            self._move(old, new)
        if new < 0:
            self._restore()
            return
        environment: Any = os.environ
        environment._data = self._environments[new]
        if old >= 0:
            self._argv[old] = sys.argv
        sys.argv = self._argv[new]
        output: Any = self.outputs[new]
        sys.stdout = sys.stderr = output

    def _restore(self) -> None:
        environment: Any = os.environ
        environment._data, sys.argv, sys.stdout, sys.stderr, sys.excepthook = self._own
