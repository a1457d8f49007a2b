"""A real job in which something takes longer than the hang timeout, and no rank is away.

python -m tests.real_ranks.programs.spared CASE OUT
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from mpi4py import MPI

from adpkv.executor.phases import Phases
from tests.real_ranks.programs.one_request import serve_one_request
from tests.real_ranks.programs.quiet import stop
from tests.scenarios.script import setting

ODD, AT = 3, 5
"""This rank, at this iteration."""

HANG_S, LONG_S = 1.0, 2.5


def main() -> int:
    case, out = sys.argv[1:]
    pids = MPI.COMM_WORLD.allgather(os.getpid())
    data = setting("spared", 2, 2, diagnosis={"hang_timeout": f"{HANG_S:g}s"})

    class Stopping(Phases):
        async def sync(self) -> Any:
            rank = self.rank
            if case == "stopped" and (rank.rank, rank.iteration) == (ODD, AT):
                time.sleep(HANG_S / 2)  # the watchdogs have seen the others stand there
                stop(LONG_S, *pids)
            return await super().sync()

    def made(rank: Any, counts: Any) -> Phases:
        if case == "late" and rank.rank == ODD:
            time.sleep(LONG_S)  # as large memory takes, while the others have begun
        return Stopping(rank, counts)

    return serve_one_request(data, Path(out), made)


if __name__ == "__main__":
    sys.exit(main())
