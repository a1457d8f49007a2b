"""A rank of a real job has no room for the shared memory of its group.

python -m tests.real_ranks.programs.no_segment OUT auto|shared_memory
"""

from __future__ import annotations

import resource
import signal
import sys
from pathlib import Path
from typing import Any

from mpi4py import MPI

from adpkv.config import parse
from adpkv.worlds.mpi.exchange.segment import Segment
from adpkv.worlds.mpi.run import run
from tests.scenarios.script import Script, arrival, setting

WITHOUT = 2
"""The first of the second instance, so its group's file is this rank's to make."""


def main() -> int:
    folder, collectives = sys.argv[1:]
    create = Segment.create

    def in_little_room(*args: Any) -> Segment:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
        try:
            return create(*args)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    if MPI.COMM_WORLD.rank in (0, WITHOUT):
        Segment.create = in_little_room  # type: ignore[method-assign, assignment]
    data = setting("no-segment", 2, 2)
    data["topology"]["collectives"] = collectives
    return run(
        parse(data, "no-segment"),
        out=Path(folder),
        quiet=True,
        workload=Script([arrival(0, 32, 4)]) if MPI.COMM_WORLD.rank == 0 else None,
    )


if __name__ == "__main__":
    sys.exit(main())
