"""A folder in shared memory for the ranks of one program, taken away again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mpi4py import MPI

from adpkv.flight_recorder.job_directory import SHARED


@contextmanager
def private_folder(mode: int = 0o700) -> Iterator[Path]:
    """One for all ranks; with 0o500 nobody may write there. Only as long as exchanges are opened:
    then it goes, however the program ends."""
    world = MPI.COMM_WORLD
    folder = Path(world.bcast(str(SHARED / f"adpkv-test-{os.getpid()}")))
    if world.rank == 0:
        folder.mkdir(mode)
    world.Barrier()
    was = os.geteuid()
    if was == 0 and mode == 0o500:
        os.seteuid(65534)  # root may write everywhere
    yield folder
    os.seteuid(was)
    world.Barrier()
    if world.rank == 0:
        shutil.rmtree(folder)
