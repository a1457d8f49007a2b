"""Which open pieces a poll of the MPI transport tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("mpi4py")

from mpi4py import MPI

from adpkv.transport.mpi_opened import OLDER_NS, RECENT, Heads, Opened
from adpkv.transport.port import Transfer

COUNT = RECENT + 10


class Rig:
    """Receives of one byte each from this process itself, of which some are sent."""

    def __init__(self) -> None:
        self.now_ns, self.heads = 0, Heads()
        self.landing = bytearray(1)
        self.opened = [self.receive(number) for number in range(COUNT)]
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
        return [self.opened.index(one) for one in self.heads.finished(lambda: self.now_ns)]


@pytest.fixture
def rig() -> Iterator[Rig]:
    found = Rig()
    yield found
    for one in found.opened:
        if one.requests[0]:
            one.cancel_from(0)


def test_the_newest_are_tested_in_each_poll_and_the_others_now_and_then(rig: Rig) -> None:
    assert rig.found() == []
    rig.send(0, 5, COUNT - 1)
    assert rig.found() == [COUNT - 1]
    rig.now_ns += OLDER_NS
    assert rig.found() == [0, 5]
    assert not any(rig.opened[at].watched for at in (0, 5, COUNT - 1))
    assert rig.found() == []


def test_older_ones_are_tested_in_each_poll_where_nothing_else_is(rig: Rig) -> None:
    for found in rig.opened[COUNT - RECENT :]:
        rig.heads.forget(found)
    for number in (3, 7):
        rig.send(number)
        assert rig.found() == [number]
    for found in rig.opened[: COUNT - RECENT]:
        rig.heads.forget(found)
    assert not rig.heads
