"""Which open pieces a poll of the MPI transport tests."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest

pytest.importorskip("mpi4py")

from mpi4py import MPI

from adpkv.transport import mpi_opened
from adpkv.transport.mpi_opened import OLDER_NS, RECENT, Heads, Opened
from adpkv.transport.mpi_posting import LANES, Lanes
from adpkv.transport.port import Transfer

COUNT = RECENT + 10


class Rig:
    """Receives of one byte each from this process itself, of which some are sent."""

    def __init__(self, count: int = COUNT) -> None:
        self.now_ns, self.heads = 0, Heads()
        self.landing = bytearray(1)
        self.opened = [self.receive(number) for number in range(count)]
        for found in self.opened:
            self.heads.watch(found)

    def receive(self, number: int) -> Opened:
        transfer = Transfer(number, 0, 0, 0, number, (0,), (0,), 1)
        found = Opened(transfer, [(0, 0, 1)], False)
        found.requests.append(MPI.COMM_SELF.Irecv([self.landing, 1, MPI.BYTE], 0, number))
        return found

    def send(self, *numbers: int) -> None:
        for number in numbers:
            MPI.COMM_SELF.Send([b"x", 1, MPI.BYTE], 0, number)

    def found(self) -> list[int]:
        into: list[Opened] = []
        self.heads.finished(lambda: self.now_ns, into)
        return [self.opened.index(one) for one in into]

    def end(self) -> None:
        for one in self.opened:
            if one.requests[0]:
                one.cancel_from(0)


@pytest.fixture
def rig() -> Iterator[Rig]:
    found = Rig()
    yield found
    found.end()


def test_the_newest_are_tested_in_each_poll_and_the_others_now_and_then(rig: Rig) -> None:
    assert rig.found() == []
    rig.send(0, 5, COUNT - 1)
    assert rig.found() == [COUNT - 1]
    rig.now_ns += RECENT * OLDER_NS
    assert rig.found() == [0, 5]
    assert not any(rig.opened[at].watched for at in (0, 5, COUNT - 1))
    assert rig.found() == []


def test_all_older_ones_have_their_turn() -> None:
    rig = Rig(3 * RECENT)
    rig.send(0, RECENT)
    found = []
    for _ in range(2):
        rig.now_ns += RECENT * OLDER_NS
        found.append(rig.found())
    assert found == [[0], [RECENT]], "the second turn goes on where the first has ended"
    rig.end()


@pytest.mark.parametrize("count", [64, 256, 1024])
def test_all_are_tested_in_a_poll_that_comes_a_while_later(count: int) -> None:
    rig = Rig(count)
    for number in (0, 1, count // 2, count - RECENT, count - 1):
        rig.found()
        rig.now_ns += count * OLDER_NS
        if number not in (one.transfer.tag for one in rig.opened if not one.watched):
            rig.send(number)
            assert rig.found() == [number]
    rig.now_ns += count * OLDER_NS
    left = [number for number, one in enumerate(rig.opened) if one.watched]
    rig.send(*left)
    assert rig.found() == left, "the newest too"
    assert not rig.heads


def test_quick_polls_test_few(monkeypatch: pytest.MonkeyPatch) -> None:
    tested = []

    def counted(requests: list[MPI.Request]) -> list[int] | None:
        tested.append(len(requests))
        return MPI.Request.Testsome(requests)

    rig = Rig(1024)
    rig.found()
    monkeypatch.setattr(
        mpi_opened, "MPI", SimpleNamespace(Request=SimpleNamespace(Testsome=counted))
    )
    for _ in range(100):
        rig.now_ns += 5 * OLDER_NS
        rig.found()
    assert max(tested) < 2 * RECENT
    assert sum(tested) <= 100 * RECENT + 100 * 5
    monkeypatch.undo()
    rig.end()


def test_transfers_are_spread_over_communicators() -> None:
    few = Lanes(MPI.COMM_SELF, RECENT)
    few.open()
    assert few.of(Transfer(1, 0, 0, 0, 3, (0,), (0,), 1)) == MPI.COMM_SELF
    lanes = Lanes(MPI.COMM_SELF, RECENT + 1)
    opened = [Transfer(n, 0, 0, 0, tag, (0,), (0,), 1) for n, tag in enumerate(range(1, 2049, 2))]
    assert all(lanes.of(one) == MPI.COMM_SELF for one in opened)
    lanes.open()
    used = [lanes.of(one).handle for one in opened]
    most = max(used.count(one) for one in set(used))
    assert len(set(used)) == LANES
    assert most < 1.2 * len(opened) / LANES
    MPI.COMM_SELF.Isend([b"x", 1, MPI.BYTE], 0, 1)
    lanes.of(opened[0]).Isend([b"x", 1, MPI.BYTE], 0, 7)
    assert len(lanes.drop(after_failure=False)) == 2
    for communicator in lanes._every[1:]:
        communicator.Free()


def test_older_ones_are_tested_in_each_poll_where_nothing_else_is(rig: Rig) -> None:
    for found in rig.opened[COUNT - RECENT :]:
        rig.heads.forget(found)
    for number in (3, 7):
        rig.send(number)
        assert rig.found() == [number]
    for found in rig.opened[: COUNT - RECENT]:
        rig.heads.forget(found)
    assert not rig.heads
