"""More ranks than cores on a host: a rank that waits in MPI must then yield its core to the others.

Open MPI's ranks spin while they wait. Its launcher makes them yield on a host with more ranks than
slots, but slots are what a host file says, not cores: two hosts with `slots=4` and 2 cores each
took 12 times as long for a token. So each rank compares for itself, before MPI is imported, whoever
started it. A rank that waits on a core of its own loses nothing by yielding.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from adpkv.control_groups import CGROUP_OF_SELF, CGROUPS, groups_above

__all__ = ["YIELD", "cores", "local_ranks", "one_thread", "yield_where_crowded"]

YIELD: Final = "OMPI_MCA_mpi_yield_when_idle"
"""Read by Open MPI when it is initialized. Other MPIs ignore it; MPICH yields by itself."""

THREADS: Final = "OPENBLAS_NUM_THREADS"
"""Read by the OpenBLAS in numpy's wheels; others ignore it."""

LOCAL_SIZES: Final = ("OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS")
"""The variables with the number of ranks on this host: Open MPI's, and Hydra's (MPICH, Intel
MPI)."""

SLURM_SIZES: Final = ("SLURM_STEP_TASKS_PER_NODE", "SLURM_TASKS_PER_NODE")
"""The same from Slurm, for all hosts in order: `4(x2),3`. The step's value is preferred to the
job's."""

SLURM_HOST: Final = "SLURM_NODEID"


def yield_where_crowded(environment: MutableMapping[str, str]) -> bool:
    """Ask MPI to yield if this host has fewer cores than ranks; returns whether yielding is on. A
    value that the user has set stays. To be called before MPI is initialized."""
    if local_ranks(environment) > cores():
        environment.setdefault(YIELD, "1")
    return environment.get(YIELD) == "1"


def one_thread(environment: MutableMapping[str, str]) -> None:
    """Keep numpy single-threaded; to be called before it is imported. Its BLAS would start a thread
    per core in each rank, which takes half of the import's time, and adpkv multiplies nothing
    there."""
    environment.setdefault(THREADS, "1")


def local_ranks(environment: Mapping[str, str]) -> int:
    """How many ranks of this job are on this host, according to its launcher; 0 if that is
    unknown."""
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
    """`4(x2),3` as 4, 4, 3; empty if the text has another form."""
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
    """How many cores the ranks of this host have together: those on which this process or its
    parent may run, limited by its control groups. The parent is the launcher: a rank that is bound
    to one core cannot see the cores of the others, but the launcher can."""
    allowed = os.sched_getaffinity(0)
    with suppress(OSError):
        allowed |= os.sched_getaffinity(os.getppid() if parent is None else parent)
    return min([float(len(allowed)), *_quotas(cgroups, of_self)])


def _quotas(cgroups: Path, of_self: Path) -> list[float]:
    """The cores that each control group above this process grants; nothing for one without a
    limit."""
    return [granted for group in groups_above("cpu", cgroups, of_self) for granted in _quota(group)]


def _quota(place: Path) -> list[float]:
    """What one control group grants: from `cpu.max` in version 2, from two files in version 1."""
    with suppress(OSError, ValueError):
        quota, period = (place / "cpu.max").read_text().split()
        return [] if quota == "max" else [int(quota) / int(period)]
    with suppress(OSError, ValueError, ZeroDivisionError):
        quota_us = int((place / "cpu.cfs_quota_us").read_text())
        period_us = int((place / "cpu.cfs_period_us").read_text())
        return [quota_us / period_us] if quota_us > 0 else []
    return []
