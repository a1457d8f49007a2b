"""Tests that run in place: `mpirun -n 4 python -m pytest --with-mpi tests/real_ranks/in_place`.

`test_mpi_pytest_plugin` starts that. Each process is a rank and has all of these tests, in the same
order: some are pytest-mpi's, some our plugin's.
"""

from __future__ import annotations

import os
from typing import Any

import pytest

from adpkv.worlds.mpi.exchange.opening import ExchangeMaker
from tests.real_ranks.programs.private import private_folder

CROWDED = True


@pytest.mark.mpi(min_size=2)
@pytest.mark.parametrize("over", ["mpi", "shared_memory"])
def test_an_exchange_tells_what_mpi_tells(over: Any) -> None:
    from mpi4py import MPI

    world = MPI.COMM_WORLD.Dup()
    with private_folder() as folder:
        exchange = ExchangeMaker(over, folder, CROWDED).open(world, 0, 0)
    assert exchange.name == over
    for at in range(20):
        own = bytes([at, world.rank]) * 1_000 * ((at + world.rank) % 3)
        everybody = world.allgather(own)
        assert exchange.payloads(own, [len(one) for one in everybody]) == b"".join(everybody)
    world.Free()


@pytest.mark.ranks(4, world="mpi")
async def test_a_coroutine(ranks: Any) -> None:
    assert await ranks.tp_gather(ranks.rank, root=2) == ([0, 1, 2, 3] if ranks.rank == 2 else None)


@pytest.mark.ranks([3, 4], world="mpi")
def test_of_a_number_of_ranks(ranks: Any) -> None:
    with ranks.raises(KeyError, on={1}):
        if ranks.rank == 1:
            raise KeyError
    assert ranks.comm.allreduce(1) == ranks.world_size


@pytest.mark.ranks(3, seeds=5)
def test_in_the_virtual_world(ranks: Any) -> None:
    assert ranks.comm.allgather(ranks.rank) == [0, 1, 2]
    assert "OMPI_COMM_WORLD_RANK" in os.environ  # this process is a rank all the same
