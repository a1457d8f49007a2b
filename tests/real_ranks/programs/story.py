"""Tells one story of both worlds on real ranks; each leaves the trace of its collectives behind.

python -m tests.real_ranks.programs.story NAME FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec
from mpi4py import MPI

from adpkv.config import parse
from adpkv.worlds.assemble import build_rank
from adpkv.worlds.mpi.run import run
from tests.scenarios.both_worlds import STORIES, met
from tests.scenarios.script import Script, Traced


class Leaving(Traced):
    """Writes the trace down when the rank program is over, and what all ranks reported."""

    def __init__(self, program: Any, clock: Any, path: Path) -> None:
        super().__init__(program, clock)
        self._path = path

    async def run(self) -> Any:
        reports = await super().run()
        trace = [met(*operation) for operation in self.operations]
        self._path.write_bytes(msgspec.json.encode((reports, trace)))
        return reports


def main() -> int:
    story, folder = STORIES[sys.argv[1]](), Path(sys.argv[2])

    def assemble(experiment: Any, topology: Any, rank: int, **ports: Any) -> Any:
        program = build_rank(experiment, topology, rank, **ports)
        return Leaving(program, ports["clock"], folder / f"trace.{rank}.json")

    return run(
        parse(story.data, story.data["name"]),
        out=folder / "out",
        quiet=True,
        workload=Script(story.arrivals) if MPI.COMM_WORLD.rank == 0 else None,
        assemble=assemble,
    )


if __name__ == "__main__":
    sys.exit(main())
