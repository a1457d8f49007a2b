"""Did a launcher start this process as a rank? Asked before MPI may be imported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["launched_rank"]

RANK_VARIABLES: Final = ("OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK")
"""Where launchers tell a process its rank: Open MPI, anything with PMIx, MPICH and Slurm's PMI."""


def launched_rank(environment: Mapping[str, str]) -> int | None:
    """The rank that a launcher gave this process; None if none did."""
    found = (environment.get(name, "") for name in RANK_VARIABLES)
    return next((int(text) for text in found if text.isdecimal()), None)
