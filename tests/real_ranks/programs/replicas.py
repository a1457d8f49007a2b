"""Scenario 4 on four real ranks, under the contract or as the field did it.

python -m tests.real_ranks.programs.replicas contract|unreduced FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

from mpi4py import MPI

from adpkv.config import parse
from adpkv.worlds.assemble import build_rank
from adpkv.worlds.mpi.run import run
from tests.scenarios.replicas import R1, SKEWED, late, replicas, unreduced
from tests.scenarios.script import Script


def main() -> int:
    data = replicas("skewed", late(R1, "1500ms"), transceiver={"transfer_timeout": "500ms"})
    return run(
        parse(data, data["name"]),
        out=Path(sys.argv[2]),
        quiet=True,
        workload=Script(SKEWED) if MPI.COMM_WORLD.rank == 0 else None,
        assemble={"contract": build_rank, "unreduced": unreduced}[sys.argv[1]],
    )


if __name__ == "__main__":
    sys.exit(main())
