"""Checks that the ranks of this host fit into its memory. Their KV blocks are real: without this
check, too large a pool gets ranks killed while they serve, or makes the machine swap."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from adpkv.worlds.memory_check import refuse_what_cannot_fit

if TYPE_CHECKING:
    from adpkv.config import Experiment

__all__ = ["check_host", "host_bytes", "may_be_elsewhere"]

RANK_BYTES: Final = 30_000_000
"""A rank's process by itself: measured, 33 MB with Open MPI 5.0 and numpy; of its 75 MB in all,
most is shared with the other ranks."""

ELSEWHERE: Final = ("SLURM_JOB_ID", "PBS_NODEFILE", "LSB_HOSTS", "PE_HOSTFILE")
"""Set by batch systems: mpirun may then put ranks on hosts that cannot be checked from here."""

HOST_FILES: Final = (
    "PRTE_MCA_prte_default_hostfile",
    "OMPI_MCA_orte_default_hostfile",
)


def check_host(
    experiment: Experiment,
    environment: Mapping[str, str] = os.environ,
    available: int | None = None,
) -> None:
    """Refuse a run whose ranks, all on this host, need more than `available` bytes; None: more than
    the host has. Where the environment may send ranks to other hosts, nothing is checked.

    Raises:
        UsageError: they do not fit; the message has what they take, and what is free.
    """
    if may_be_elsewhere(environment):
        return
    refuse_what_cannot_fit(
        f"{experiment.name}: the run",
        host_bytes(experiment),
        "fewer ranks or kv_cache.blocks fit, or `adpkv simulate`, which keeps no KV",
        available,
    )


def may_be_elsewhere(environment: Mapping[str, str] = os.environ) -> bool:
    """May mpirun put ranks on other hosts? Then this host says nothing about theirs."""
    return any(name in environment for name in (*ELSEWHERE, *HOST_FILES))


def host_bytes(experiment: Experiment) -> dict[str, int]:
    """What the ranks take, in bytes by purpose."""
    ranks, blocks = experiment.topology.ranks, experiment.largest_cache.blocks
    found = {f"{ranks:,} processes": ranks * RANK_BYTES}
    if experiment.kv_cache.memory != "cuda":
        found[f"{blocks:,} KV blocks on each"] = ranks * blocks * experiment.block_bytes
        if experiment.staging is not None:
            nbytes = experiment.staging.nbytes(experiment.block_bytes)
            found[f"{experiment.staging.slots} staging slots on each"] = ranks * nbytes
    return found
