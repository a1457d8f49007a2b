"""The environment without what a launcher says to its ranks.

A sweep may be started by `mpirun -n 1`, by `srun`, or in a shell inside of a job, and a pytest may
be a rank. What such a process starts must not take itself for a rank of that job. Where no launcher
started this process, the environment stays as it is: an allocation of Slurm's is there for the
runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["LAUNCHED", "size_of_job", "without_launcher"]

LAUNCHED: Final = ("OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK")
"""Each is set where a launcher has started this process as a rank."""

PREFIXES: Final = (
    "OMPI_", "PMIX_", "PMI_", "PRTE_", "PALS_", "HYDRA_", "HYDI_", "MPI_LOCAL", "SLURM_", "FLUX_",
)  # fmt: skip
"""How the variables begin by which launchers tell their ranks about the job."""

SIZES: Final = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS")


def without_launcher(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for a process that is nobody's rank."""
    if not any(name in environment for name in LAUNCHED):
        return dict(environment)
    return {name: value for name, value in environment.items() if not name.startswith(PREFIXES)}


def size_of_job(environment: Mapping[str, str]) -> int:
    """How many ranks the job has that this process is a rank of; 1 if it is nobody's."""
    if not any(name in environment for name in LAUNCHED):
        return 1
    found = [environment[name] for name in SIZES if environment.get(name, "").isdecimal()]
    return int(found[0]) if found else 1
