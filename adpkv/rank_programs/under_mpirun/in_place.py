"""Bodies in a job that somebody else has started: `mpirun -n 4 python -m pytest --with-mpi`."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

import pytest

from adpkv.rank_programs.program_files import ProgramFiles
from adpkv.rank_programs.real_ranks import end_after
from adpkv.rank_programs.under_mpirun.on_rank import perform

__all__ = ["perform_in_place"]


def perform_in_place(item: pytest.Function, body: Callable[[Any], Any], seconds: float) -> str:
    """Run the body on this rank, and agree with the others about it: the report of a failure that
    another rank had; empty if all is well. After so many seconds each rank says where it is, and
    the job ends."""
    from mpi4py import MPI

    last = "it runs the body"
    say = functools.partial(_say, item.config, MPI.COMM_WORLD.rank == 0)
    over = end_after(MPI, ProgramFiles(), seconds, lambda: last, say)
    raised: BaseException | None = None
    told = ""
    try:
        perform(item, body, lambda: None)
    except BaseException as error:
        raised = error
        told = f"{type(error).__name__}: {error}"
    last = f"it has raised {told}" if told else "it has passed"
    found: list[str] = MPI.COMM_WORLD.allgather(told)
    over.set()
    if raised is not None:
        raise raised
    failed = [f"rank {rank} raised {text}" for rank, text in enumerate(found) if text]
    return "\n".join(failed)


def _say(config: pytest.Config, first: bool, text: str) -> None:
    """The job is about to end, so pytest will print nothing: neither what it has caught, nor the
    failures before, which the `first` rank tells."""
    capture = config.pluginmanager.get_plugin("capturemanager")
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    if capture is not None:
        capture.suspend_global_capture()
    failed = terminal.stats.get("failed", []) if first and terminal is not None else []
    told = [f"\nFAILED {one.nodeid}\n{one.longreprtext}\n" for one in failed]
    sys.stderr.write("".join([*told, text]))
    sys.stderr.flush()
