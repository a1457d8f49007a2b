"""A user's tests on real ranks, some of which fail; `test_mpi_pytest_plugin` runs them."""

import ctypes
import os

import pytest


def pytest_addoption(parser):  # this file is the suite's conftest too
    parser.addoption("--words", default="none")


@pytest.mark.ranks(2, world="mpi")
def test_good(ranks, request, tmp_path):
    assert ranks.comm.allgather(ranks.rank) == list(range(ranks.world_size))
    assert int(os.environ["RANK"]) == ranks.rank
    assert len(set(ranks.comm.allgather(str(tmp_path)))) == ranks.world_size
    assert request.config.getoption("--words") == "kept"
    assert 0 <= ranks.clock < 60


@pytest.mark.ranks(3, world="mpi")
def test_one_raises(ranks):
    if ranks.rank == 1:
        left = [7]
        assert not left, "something is left"
    ranks.comm.barrier()


@pytest.mark.ranks(2, world="mpi", bound=2)
def test_hangs(ranks):
    if ranks.rank == 0:
        ranks.comm.barrier()


@pytest.mark.ranks(2, world="mpi")
def test_crashes(ranks):
    if ranks.rank == 1:
        ctypes.string_at(0)
    ranks.comm.barrier()


@pytest.mark.ranks(3, world="mpi")
def test_kills(ranks):
    ranks.comm.barrier()
    ranks.kill(2)
    with ranks.raises(Exception, on={0, 1}):
        ranks.comm.barrier()


@pytest.mark.ranks(2, world="mpi")
async def test_skips(ranks):
    await ranks.barrier()
    pytest.skip("not here")


@pytest.mark.xfail(strict=True)
@pytest.mark.ranks(1, world="mpi")
def test_fails_as_expected(ranks):
    raise ValueError(ranks.rank)


@pytest.mark.ranks(2, world="else")
def test_wrong_world(ranks):
    pass
