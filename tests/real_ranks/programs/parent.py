"""A program of this folder as `adpkv run` starts its ranks: with the parent that sees them through.

python -m tests.real_ranks.programs.parent RANKS PROGRAM ARGUMENT...
"""

from __future__ import annotations

import sys

from adpkv.worlds.mpi.launcher import launch as launching
from adpkv.worlds.mpi.launcher.launch import Launch
from adpkv.worlds.mpi.launcher.mpirun import fault_tolerance, find_mpirun

HUNG_AFTER_S, KILL_GRACE_S = 1.5, 0.5
"""What a test waits out is shorter than in life."""


def main() -> int:
    ranks, name, *argv = sys.argv[1:]
    launching.HUNG_AFTER_S, launching.KILL_GRACE_S = HUNG_AFTER_S, KILL_GRACE_S
    mpirun = find_mpirun()
    call = [sys.executable, "-m", f"tests.real_ranks.programs.{name}", *argv]
    return Launch([mpirun, *fault_tolerance(mpirun), "-n", ranks, *call]).run()


if __name__ == "__main__":
    sys.exit(main())
