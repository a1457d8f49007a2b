"""A rank of a real job sleeps alone for as long as a file is there; health is served meanwhile.

python -m tests.real_ranks.programs.asleep FOLDER ADDRESS CONTEXT_RANKS GENERATION_RANKS \
    SLEEPER HANG
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from mpi4py import MPI

from adpkv.config import parse
from adpkv.executor.phases import Phases
from adpkv.worlds.assemble import build_rank
from adpkv.worlds.mpi.run import run
from tests.scenarios.script import Script, arrival, setting

FOLDER, ADDRESS = Path(sys.argv[1]), sys.argv[2]
CONTEXT, GENERATION, SLEEPER = map(int, sys.argv[3:6])
HANG = sys.argv[6]
LONGEST_S = 60
SLEEP_S = 0.01
LATER_MS = 3_600_000


class Sleeping(Phases):
    """Sleeps in the middle of an iteration, where it stands in no collective."""

    def observe(self) -> None:
        until_s = time.monotonic() + LONGEST_S
        while self.rank.rank == SLEEPER and (FOLDER / "asleep").exists():
            assert time.monotonic() < until_s, "nobody woke me"
            time.sleep(SLEEP_S)
        super().observe()


def main() -> int:
    data = setting(
        "asleep",
        CONTEXT,
        GENERATION,
        executor={"idle_wait": "100ms"},
        diagnosis={"hang_timeout": HANG},
        observe={"http": ADDRESS, "ready_timeout": "1s"},
    )

    def assemble(experiment: Any, topology: Any, rank: int, **ports: Any) -> Any:
        return build_rank(experiment, topology, rank, phases=Sleeping, **ports)

    # The second request never comes: the job goes on until it is asked to stop.
    arrivals = [arrival(0, 32, 4), arrival(LATER_MS, 32, 4)]
    return run(
        parse(data, "asleep"),
        out=FOLDER / "out",
        quiet=True,
        workload=Script(arrivals) if MPI.COMM_WORLD.rank == 0 else None,
        assemble=assemble,
    )


if __name__ == "__main__":
    sys.exit(main())
