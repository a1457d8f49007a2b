"""Child processes that are measured: started in a session of their own, bounded, never left."""

from __future__ import annotations

import os
import resource
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import msgspec

from adpkv.children import run_bounded
from adpkv.errors import AdpkvError, MissingPieceError
from adpkv.worlds.mpi.oversubscription import YIELD, cores

__all__ = ["Whole", "mpirun", "run_measured", "run_module", "run_ranks", "run_whole"]

MESSAGE_CHARACTERS = 2_000
"""How much of a failed child's stderr is passed on."""

_PYTHON = (sys.executable, "-P", "-m")
"""Not what lies in the current folder: in a clone, the compiled build would measure its sources."""


class Whole(NamedTuple):
    """What a process took as a whole, from its start to its end, with all that it started."""

    wall_s: float
    cpu_s: float
    """Processor time. Beside other load it grows less than wall time does."""


def run_module(module: str, argv: Sequence[str], *, bound_s: float) -> tuple[Any, Whole]:
    """What `python -m module` prints in JSON on its last line, and what it took.

    Raises:
        AdpkvError: it failed, or did not end within `bound_s`.
    """
    return run_measured([*_PYTHON, module, *argv], bound_s=bound_s)


def run_ranks(module: str, ranks: int, argv: Sequence[str], *, bound_s: float) -> Any:
    """The same under mpirun; one of the ranks prints.

    Raises:
        MissingPieceError: there is no mpirun.
        AdpkvError: the job failed, or did not end within `bound_s`.
    """
    command = [*_yielding(ranks), mpirun(), "-n", str(ranks), *_PYTHON, module, *argv]
    return run_measured(command, bound_s=bound_s)[0]


def _yielding(ranks: int) -> list[str]:
    """What makes MPI yield on too few cores, as `adpkv run` does: a launcher does not see each
    limit, as `taskset` or a container's, and a bare call would spin for whole time slices."""
    return ["env", f"{YIELD}=1"] if ranks > cores() and YIELD not in os.environ else []


def mpirun() -> str:
    """The launcher beside this Python, or another one.

    Raises:
        MissingPieceError: there is none.
    """
    beside = Path(sys.executable).with_name("mpirun")
    found = str(beside) if beside.exists() else shutil.which("mpirun")
    if found is None:
        raise MissingPieceError("there is no mpirun: pip install 'adpkv[mpi]'")
    return found


def run_measured(command: Sequence[str], *, bound_s: float) -> tuple[Any, Whole]:
    """The same of any command.

    Raises:
        AdpkvError: it failed, did not end within `bound_s`, or its last line is no JSON.
    """
    said, took = run_whole(command, bound_s=bound_s)
    last = (said.splitlines() or [""])[-1]
    try:
        return msgspec.json.decode(last), took
    except msgspec.DecodeError:
        raise AdpkvError(f"{_told(command)} printed no figures: {last[:80]!r}") from None


def run_whole(command: Sequence[str], *, bound_s: float, code: int = 0) -> tuple[str, Whole]:
    """The stdout of a command that has to end with this code, and what it took.

    Raises:
        AdpkvError: it ended with another one, or not within `bound_s`.
    """
    began_s, began_cpu_s = perf_counter(), _children_cpu_s()
    ended = run_bounded(command, bound_s)
    if ended.code is None:
        raise AdpkvError(f"{_told(command)} did not end within {bound_s:g} s")
    took = Whole(perf_counter() - began_s, _children_cpu_s() - began_cpu_s)
    if ended.code != code:
        said = ended.err[-MESSAGE_CHARACTERS:]
        raise AdpkvError(f"{_told(command)} ended with {ended.code}\n{said}")
    return ended.out, took


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _told(command: Sequence[str]) -> str:
    return " ".join([Path(command[0]).name, *command[1:]])
