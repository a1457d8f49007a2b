"""More ranks than cores on a host: then a rank that waits in MPI must give its core to the others.

Open MPI's ranks spin while they wait. Its launcher tells them to yield where it has put more ranks
on a host than it counts slots, but slots are what a host file says, not cores: two hosts with
`slots=4` and 2 cores each took 12 times as long for a token. So each rank counts for itself, before
MPI is imported, whoever has started it. Who waits on a core of its own loses nothing by yielding.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from adpkv.control_groups import CGROUP_OF_SELF, CGROUPS, groups_above

__all__ = ["cores", "local_ranks", "one_thread", "yield_where_crowded"]

YIELD: Final = "OMPI_MCA_mpi_yield_when_idle"
"""Read by Open MPI as it is initialized; other MPIs ignore it, and yield by themselves (MPICH)."""

THREADS: Final = "OPENBLAS_NUM_THREADS"
"""Read by the library that numpy's wheels bring; others ignore it."""

LOCAL_SIZES: Final = ("OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS")
"""Where launchers say how many ranks this host has: Open MPI's, and Hydra (MPICH, Intel MPI)."""

SLURM_SIZES: Final = ("SLURM_STEP_TASKS_PER_NODE", "SLURM_TASKS_PER_NODE")
"""The same from Slurm, for all hosts in order: `4(x2),3`; of the step before of the job."""

SLURM_HOST: Final = "SLURM_NODEID"


def yield_where_crowded(environment: MutableMapping[str, str]) -> bool:
    """Ask MPI to yield if this host has fewer cores than ranks; says whether it was asked for. What
    a user has set stays. Has an effect until MPI is initialized."""
    if local_ranks(environment) > cores():
        environment.setdefault(YIELD, "1")
    return environment.get(YIELD) == "1"


def one_thread(environment: MutableMapping[str, str]) -> None:
    """Ask numpy for no threads of its own, before it is imported: its BLAS starts one for each core
    in each rank, which takes half of the import's time, and adpkv multiplies nothing there."""
    environment.setdefault(THREADS, "1")


def local_ranks(environment: Mapping[str, str]) -> int:
    """How many ranks of this job are on this host, as its launcher says; 0 if it does not."""
    for name in LOCAL_SIZES:
        if (said := environment.get(name, "")).isdecimal():
            return int(said)
    host = environment.get(SLURM_HOST, "0")
    for name in SLURM_SIZES:
        sizes = _slurm_sizes(environment.get(name, ""))
        if host.isdecimal() and int(host) < len(sizes):
            return sizes[int(host)]
    return 0


def _slurm_sizes(said: str) -> list[int]:
    """`4(x2),3` as 4, 4, 3; nothing if it is not of that form."""
    found: list[int] = []
    for part in filter(None, said.split(",")):
        match = re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", part)
        if match is None:
            return []
        found += [int(match[1])] * int(match[2] or 1)
    return found


def cores(
    cgroups: Path = CGROUPS, of_self: Path = CGROUP_OF_SELF, parent: int | None = None
) -> float:
    """How many cores the ranks of this host have together: those that this process or its parent
    may run on, and no more than its control groups grant. The parent is the launcher: a rank that
    is bound to one core does not see those of the others, but its launcher does."""
    allowed = os.sched_getaffinity(0)
    with suppress(OSError):
        allowed |= os.sched_getaffinity(os.getppid() if parent is None else parent)
    return min([float(len(allowed)), *_quotas(cgroups, of_self)])


def _quotas(cgroups: Path, of_self: Path) -> list[float]:
    """The cores that each control group above this process grants; none where there is no limit."""
    return [granted for group in groups_above("cpu", cgroups, of_self) for granted in _quota(group)]


def _quota(place: Path) -> list[float]:
    """What one control group grants: `cpu.max` of version 2, two files of version 1."""
    with suppress(OSError, ValueError):
        quota, period = (place / "cpu.max").read_text().split()
        return [] if quota == "max" else [int(quota) / int(period)]
    with suppress(OSError, ValueError, ZeroDivisionError):
        quota_us = int((place / "cpu.cfs_quota_us").read_text())
        period_us = int((place / "cpu.cfs_period_us").read_text())
        return [quota_us / period_us] if quota_us > 0 else []
    return []
