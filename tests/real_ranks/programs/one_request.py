"""What programs that break one rank's phases have in common: a job of one request, over these
phases on every rank."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mpi4py import MPI

from adpkv.config import parse
from adpkv.executor.phases import Phases
from adpkv.worlds.assemble import build_rank
from adpkv.worlds.mpi.run import run
from tests.scenarios.script import Script, arrival

__all__ = ["serve_one_request"]


def serve_one_request(
    data: dict[str, Any], out: Path, phases: Callable[..., Phases] = Phases, name: str = ""
) -> int:
    """Run this process's rank of the job, which may be given a name; its exit code."""

    def assemble(*args: Any, **ports: Any) -> Any:
        return build_rank(*args, phases=phases, **ports)

    return run(
        parse(data, data["name"]),
        out=out,
        quiet=True,
        workload=Script([arrival(0, 32, 4)]) if MPI.COMM_WORLD.rank == 0 else None,
        assemble=assemble,
        name=name,
    )
