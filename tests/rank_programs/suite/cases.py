"""A user's tests of ranks, some of which fail; `test_pytest_plugin` runs them."""

import threading

import pytest


@pytest.mark.ranks(4, seeds=20)
def test_good(ranks):
    assert ranks.comm.allgather(ranks.rank) == [0, 1, 2, 3]
    assert ranks.clock < 1


@pytest.mark.ranks(3, seeds=200)
def test_race(ranks):
    if ranks.rank == 0:
        assert ranks.comm.recv() < ranks.comm.recv()
    else:
        ranks.comm.send(ranks.rank, 0)


@pytest.mark.ranks(2)
def test_stuck(ranks):
    if ranks.rank == 0:
        ranks.comm.barrier()


@pytest.mark.ranks([1, 2, 3], seeds=5)
async def test_coroutine(ranks):
    found = await ranks.tp_allgather(1)
    assert sum(found) == ranks.world_size


@pytest.mark.ranks(2, seeds=5)
def test_raises(ranks):
    ranks.comm.barrier()
    with ranks.raises(KeyError, on=1):
        if ranks.rank == 1:
            {}["x"]


@pytest.mark.ranks(2, seeds=5)
def test_does_not_raise(ranks):
    ranks.comm.barrier()
    with ranks.raises(KeyError, on={1}):
        pass


@pytest.mark.ranks(3, seeds=20)
def test_survivors(ranks):
    ranks.comm.barrier()
    ranks.kill(2)
    with ranks.raises(RuntimeError, on={0, 1}):
        ranks.comm.barrier()


@pytest.mark.ranks(3, seeds=20)
async def test_survivors_shrink(ranks):
    from adpkv.errors import RankLostError

    ranks.kill(1)
    with pytest.raises(RankLostError):
        await ranks.barrier()
    assert await ranks.shrink() == (0, 2)
    assert await ranks.tp_allgather(ranks.rank) == [0, 2]


@pytest.mark.ranks(2, strategy="exhaustive", kills=1)
async def test_all_kills(ranks):
    from adpkv.errors import RankLostError

    try:
        await ranks.barrier()
        await ranks.barrier()
    except RankLostError:
        assert ranks.rank in await ranks.shrink()


@pytest.mark.ranks(3, strategy="exhaustive", seeds=2)
async def test_too_few(ranks):
    if ranks.rank:
        await ranks.send(1, 0)
    else:
        await ranks.recv(), await ranks.recv()


@pytest.mark.ranks(3, seeds=20)
def test_not_handled(ranks):
    ranks.kill(2)
    ranks.comm.barrier()


@pytest.mark.ranks(2)
def test_skipped(ranks):
    pytest.skip("not here")


@pytest.mark.ranks(0)
def test_no_ranks(ranks):
    pass


@pytest.mark.ranks(2, seeds=1)
def test_no_such_rank(ranks):
    ranks.kill(9)


def test_no_marker(ranks):
    ranks.comm.barrier()


@pytest.mark.ranks(2, world="mpi", kills=1)
def test_not_for_real_ranks(ranks):
    pass


@pytest.mark.ranks(2, sedes=3)
def test_wrong_word(ranks):
    pass


@pytest.mark.ranks(2, seeds=1)
def test_leaves_a_message(ranks):
    ranks.comm.send("x", 1 - ranks.rank)


@pytest.mark.ranks(2, seeds=1, allow="unreceived")
def test_may_leave_a_message(ranks):
    ranks.comm.send("x", 1 - ranks.rank)


@pytest.mark.ranks(2, seeds=1)
def test_starts_a_thread(ranks):
    threading.Thread(target=print).start()


@pytest.mark.ranks(2, allow="treads")
def test_wrong_allowance(ranks):
    pass


@pytest.mark.ranks(2, strategy="exhaustive")
def test_not_for_mpi(ranks):
    ranks.comm.barrier()


class TestInAClass:
    @pytest.mark.parametrize("x", [1, 2])
    @pytest.mark.ranks(2, seeds=3)
    def test_parametrised(self, ranks, x, tmp_path):
        assert tmp_path.exists()
        assert ranks.comm.allreduce(x) == 2 * x


@pytest.mark.ranks(2, seeds=1)
@pytest.mark.timeout(1, method="signal")
def test_too_long(ranks):
    ranks.comm.barrier()
    while ranks.rank == 1:
        pass


def test_plain_one():
    assert True
