"""One rank of a real job has no room for its flight recorder; all must end before the run begins.

python -m tests.real_ranks.programs.no_room OUT
"""

from __future__ import annotations

import resource
import signal
import sys
from pathlib import Path

from mpi4py import MPI

from adpkv.config import parse
from adpkv.worlds.mpi.run import run
from tests.scenarios.script import setting

WITHOUT = 2


def main() -> int:
    if MPI.COMM_WORLD.rank == WITHOUT:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, most))
    experiment = parse(setting("no-room", 2, 2), "no-room")
    return run(experiment, out=Path(sys.argv[1]), quiet=True)


if __name__ == "__main__":
    sys.exit(main())
