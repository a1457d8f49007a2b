"""Child processes that are measured: started in a session of their own, bounded, never left."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import msgspec

from adpkv.children import run_bounded
from adpkv.errors import AdpkvError, MissingPieceError

__all__ = ["run_module", "run_ranks"]

MESSAGE_CHARACTERS = 2_000
"""How much of a failed child's stderr is passed on."""


def run_module(module: str, argv: Sequence[str], *, bound_s: float) -> tuple[Any, float]:
    """What `python -m module` prints in JSON on its last line, and its wall seconds as a whole.

    Raises:
        AdpkvError: it failed, or did not end within `bound_s`.
    """
    return _run([sys.executable, "-m", module, *argv], bound_s)


def run_ranks(module: str, ranks: int, argv: Sequence[str], *, bound_s: float) -> Any:
    """The same under mpirun; one of the ranks prints.

    Raises:
        MissingPieceError: there is no mpirun.
        AdpkvError: the job failed, or did not end within `bound_s`.
    """
    command = [_mpirun(), "-n", str(ranks), sys.executable, "-m", module, *argv]
    return _run(command, bound_s)[0]


def _mpirun() -> str:
    beside = Path(sys.executable).with_name("mpirun")
    found = str(beside) if beside.exists() else shutil.which("mpirun")
    if found is None:
        raise MissingPieceError("there is no mpirun: pip install 'adpkv[mpi]'")
    return found


def _run(command: list[str], bound_s: float) -> tuple[Any, float]:
    began = perf_counter()
    ended = run_bounded(command, bound_s)
    if ended.code is None:
        raise AdpkvError(f"{_told(command)} did not end within {bound_s:g} s")
    wall_s = perf_counter() - began
    if ended.code:
        said = ended.err[-MESSAGE_CHARACTERS:]
        raise AdpkvError(f"{_told(command)} ended with {ended.code}\n{said}")
    return msgspec.json.decode(ended.out.splitlines()[-1]), wall_s


def _told(command: Sequence[str]) -> str:
    return " ".join([Path(command[0]).name, *command[1:]])
