"""A program over our rank API on real ranks: the same file, unchanged."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.real_ranks.conftest import MPIRUN, Jobs

PROGRAM = """
async def program(rank):
    assert await rank.tp_allgather(rank.rank) == [0, 1, 2]
    assert await rank.agree(True)
    assert await rank.shrink() == rank.ranks == (0, 1, 2)
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
    assert "adpkv: rank 1 raised ValueError, and ends the job" in failed.err
    assert "ValueError: on purpose" in failed.err
    assert 'worker.py", line' in failed.err
    assert "real_ranks.py" not in failed.err


SURVIVES = """
from adpkv.errors import RankLostError

async def program(rank):
    step = 0
    while step < 3:
        done = True
        if step == 1:
            rank.kill(1)
        try:
            await rank.tp_allgather(step)
        except RankLostError as error:
            assert error.rank in (1, -1)  # -1: it has heard of it by another one
            done = False
        if await rank.agree(done):
            step += 1
        else:
            assert await rank.shrink() == (0, 2)
    assert await rank.tp_broadcast(rank.rank, root=2) == 2
"""


def test_survivors_go_on_in_both_worlds(jobs: Jobs, tmp_path: Path) -> None:
    """The rank that is killed leaves the same errors, with ULFM for real."""
    file = tmp_path / "worker.py"
    file.write_text(SURVIVES)
    check = [sys.executable, "-m", "adpkv", "check", f"{file}:program", "-n", "3"]
    virtual = jobs.finish(jobs.start([*check, "--schedules", "50"]), 60)
    assert virtual.code == 0, virtual.out + virtual.err
    real = jobs.finish(jobs.start([str(MPIRUN), "--with-ft", "ulfm", "-n", "3", *check]), 60)
    assert "rank 1 is gone, the others ended well" in real.err, real.err
