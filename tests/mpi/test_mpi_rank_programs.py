"""A program over our rank API on real ranks: the same file, unchanged."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.mpi.conftest import MPIRUN, Jobs

PROGRAM = """
async def program(rank):
    assert await rank.tp_allgather(rank.rank) == [0, 1, 2]
    assert await rank.tp_gather(1, root=1) == ([1, 1, 1] if rank.rank == 1 else None)
    assert await rank.tp_broadcast("x" if rank.rank == 0 else None) == "x"
    await rank.barrier()
    await rank.sleep(0.001)
    if rank.rank:
        await rank.send(rank.rank, 0, tag=rank.rank)
    else:
        assert await rank.recv(tag=2) == 2
        assert await rank.recv(1) == 1
    assert 0 < rank.clock < 3600

async def fails(rank):
    if rank.rank == 1:
        raise ValueError("on purpose")
    await rank.barrier()
"""


def test_the_same_program_runs_in_virtual_time_and_for_real(jobs: Jobs, tmp_path: Path) -> None:
    file = tmp_path / "worker.py"
    file.write_text(PROGRAM)
    check = [sys.executable, "-m", "adpkv", "check"]
    virtual = jobs.finish(jobs.start([*check, f"{file}:program", "-n", "3"]), 60)
    assert virtual.code == 0, virtual.err
    real = jobs.finish(jobs.start([str(MPIRUN), "-n", "3", *check, f"{file}:program"]), 60)
    assert real.code == 0, real.err
    assert "3 real ranks ended well" in real.err
    failed = jobs.finish(jobs.start([str(MPIRUN), "-n", "3", *check, f"{file}:fails"]), 60)
    assert failed.code == 4
    assert "rank 1:" in failed.err
    assert "ValueError: on purpose" in failed.err
