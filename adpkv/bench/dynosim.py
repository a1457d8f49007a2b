"""DynoSim, NVIDIA's simulator (Rust), beside ours on the same trace.

It is no dependency: a Python of its own has it, and `adpkv bench trace --dynosim PYTHON` names it.
One prefill and one decode worker with the ranks of our groups, blocks of the same size and number;
all else as its packages have it. Both simulate as whole processes, on the same core.
"""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec

from adpkv.bench.children import Whole, run_measured
from adpkv.config import Experiment
from adpkv.errors import AdpkvError, UsageError

__all__ = ["HOW_TO_INSTALL", "DynoSim", "check_python", "cut"]

SCRIPT: Final = Path(__file__).with_name("dynosim_child.py")

HOW_TO_INSTALL: Final = (
    "In a virtual environment of its own: pip install --only-binary :all: aisimulate; "
    "pip install --no-deps ai-dynamo ai-dynamo-runtime"
)

BOUND_S: Final = 300.0
"""One replay."""


class Replayed(msgspec.Struct, frozen=True):
    """What `dynosim_child` prints."""

    completed: int
    submitted: int
    tokens: int
    peak_bytes: int
    pinned: bool
    versions: str


def check_python(python: Path) -> None:
    """It may be a program.

    Raises:
        UsageError: it is none.
    """
    if not python.is_file():
        raise UsageError(f"--dynosim {python}: there is no such file")
    if not os.access(python, os.X_OK):
        raise UsageError(f"--dynosim {python}: is no program")


class DynoSim:
    """Replays one trace with what is installed beside `python`."""

    def __init__(self, python: Path, trace: Path, experiment: Experiment) -> None:
        check_python(python)
        topology, cache = experiment.topology, experiment.kv_cache
        shape = (topology.context.ranks, cache.block_tokens, cache.blocks)
        # Absolute: what has no slash would be looked up in PATH.
        self._command = [
            str(python.absolute()),
            str(SCRIPT),
            str(trace.absolute()),
            *map(str, shape),
        ]
        self._python = python

    def run(self) -> tuple[Replayed, Whole]:
        """One replay, and what its process took as a whole.

        Raises:
            UsageError: DynoSim is not installed there, or it is no program.
            AdpkvError: it failed, or printed something else than its results.
        """
        try:
            said, whole = run_measured(self._command, bound_s=BOUND_S)
        except OSError as error:
            raise UsageError(f"--dynosim {self._python}: {error.strerror}") from None
        except AdpkvError as error:
            if "ModuleNotFoundError" not in str(error):
                raise
            raise UsageError(f"--dynosim {self._python} has no DynoSim. {HOW_TO_INSTALL}") from None
        try:
            return msgspec.convert(said, Replayed), whole
        except msgspec.ValidationError as error:
            raise AdpkvError(f"DynoSim printed something else: {error}") from None


def cut(trace: Path, lines: int, into: Path) -> Path:
    """The first lines of a trace as a file of their own: DynoSim reads whole files."""
    with trace.open("rb") as whole, into.open("wb") as part:
        part.writelines(islice(whole, lines))
    return into
