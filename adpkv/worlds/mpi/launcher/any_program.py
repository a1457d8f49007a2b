"""`python -m adpkv.worlds.mpi.launcher.any_program RANKS COMMAND ...`: a command on real ranks.

The command is anybody's. What holds for our own jobs holds for it: the job has a session folder of
its own, goes on when a rank has died (with Open MPI 5), and leaves nothing behind however it ends.
SIGTERM ends it, and so does the end of the process that has started this one.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

from adpkv.errors import AdpkvError
from adpkv.exit_codes import ExitCode
from adpkv.worlds.mpi.launcher.launch import Launch
from adpkv.worlds.mpi.launcher.mpirun import fault_tolerance, find_mpirun
from adpkv.worlds.mpi.launcher.process_tree import die_with_parent

__all__ = ["main"]

END_BOUND_S: Final = 1.0
"""From SIGTERM, which the ranks get too, until they are killed."""


def main(argv: Sequence[str]) -> int:
    """Start the command; returns its job's exit code."""
    die_with_parent()
    try:
        mpirun = find_mpirun()
    except AdpkvError as error:
        print(f"adpkv: {error}", file=sys.stderr)
        return ExitCode.USAGE
    ranks, *command = argv
    return Launch(
        [mpirun, *fault_tolerance(mpirun), "-n", ranks, *command], END_BOUND_S, last=True
    ).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
