"""Do the ranks of this host fit into its memory? A pool of KV blocks is real there: who asks for
more than the host has gets ranks that are killed while they serve, or a machine that swaps."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from adpkv.worlds.memory_check import refuse_what_cannot_fit

if TYPE_CHECKING:
    from adpkv.config import Experiment

__all__ = ["check_host", "host_bytes"]

RANK_BYTES: Final = 30_000_000
"""What a rank's process has for itself: measured, 33 MB with Open MPI 5.0 and numpy, of 75 MB of
which most is shared with the other ranks."""

ELSEWHERE: Final = ("SLURM_JOB_ID", "PBS_NODEFILE", "LSB_HOSTS", "PE_HOSTFILE")
"""What batch systems set: then mpirun may put ranks on hosts that are not seen from here."""

HOST_FILES: Final = (
    "PRTE_MCA_prte_default_hostfile",
    "OMPI_MCA_orte_default_hostfile",
)


def check_host(
    experiment: Experiment,
    environment: Mapping[str, str] = os.environ,
    available: int | None = None,
) -> None:
    """Refuse a run whose ranks, all on this host, cannot fit into so many bytes; None: into those
    that the host has. Where the environment sends ranks elsewhere, nothing is known here.

    Raises:
        UsageError: they cannot; with what they take, and of what.
    """
    if any(name in environment for name in (*ELSEWHERE, *HOST_FILES)):
        return
    refuse_what_cannot_fit(
        f"{experiment.name}: the run",
        host_bytes(experiment),
        "fewer ranks or kv_cache.blocks fit, or `adpkv simulate`, which keeps no KV",
        available,
    )


def host_bytes(experiment: Experiment) -> dict[str, int]:
    """What the ranks take, by what it is for."""
    ranks, blocks = experiment.topology.ranks, experiment.kv_cache.blocks
    return {
        f"{ranks:,} processes": ranks * RANK_BYTES,
        f"{blocks:,} KV blocks on each": ranks * blocks * experiment.block_bytes,
    }
