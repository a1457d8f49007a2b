"""A program of this folder as `adpkv run` starts its ranks: with the parent that sees them through.

python -m tests.mpi.programs.parent RANKS PROGRAM ARGUMENT...
"""

from __future__ import annotations

import sys

from adpkv.worlds.mpi.launch import Launch, fault_tolerance, find_mpirun


def main() -> int:
    ranks, name, *argv = sys.argv[1:]
    mpirun = find_mpirun()
    call = [sys.executable, "-m", f"tests.mpi.programs.{name}", *argv]
    return Launch([mpirun, *fault_tolerance(mpirun), "-n", ranks, *call]).run()


if __name__ == "__main__":
    sys.exit(main())
