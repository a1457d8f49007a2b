"""Ends of the MPI transport that a real wire shows rarely: with requests that the test ends."""

# ruff: noqa: N802 - the names are those of MPI

from __future__ import annotations

import pytest

pytest.importorskip("mpi4py")

from adpkv.errors import AdpkvError
from adpkv.transport.mpi import MpiTransport
from adpkv.transport.port import EndKind, Transfer

BLOCK_BYTES = 8


class Request:
    """A receive. Its cancel takes effect when the test says so."""

    def __init__(self) -> None:
        self.done = self.asked = self.gone = False

    def Cancel(self) -> None:
        self.asked = True

    def Test(self) -> bool:
        return self.done or (self.asked and self.gone)


class Wire:
    """A communicator that only receives."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    def Get_attr(self, key: int) -> int:
        return 32_767

    def Irecv(self, buffer: object, source: int, tag: int) -> Request:
        self.requests.append(Request())
        return self.requests[-1]


class Memory:
    block_bytes = BLOCK_BYTES

    def view(self, first: int, count: int) -> memoryview:
        return memoryview(bytearray(BLOCK_BYTES * count))


class Stub:
    """Of the module `MPI`: what polling asks."""

    class Request:
        @staticmethod
        def Testsome(requests: list[Request]) -> list[int]:
            return [at for at, request in enumerate(requests) if request.done]


class Rig:
    """A receiver of four pieces."""

    def __init__(self) -> None:
        self.wire = Wire()
        self.transport = MpiTransport(
            self.wire,  # type: ignore[arg-type]
            Memory(),
            piece_bytes=BLOCK_BYTES,
            budget_bytes=64,
            clock=lambda: 0,
        )
        self.transfer = Transfer((1, 0), 0, 0, 1, 0, (0, 1, 2, 3), (0, 1, 2, 3), 32)
        self.transport.expect(self.transfer)


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Rig:
    monkeypatch.setattr("adpkv.transport.mpi_opened.MPI", Stub)
    return Rig()


def test_a_session_cannot_be_open_twice(rig: Rig) -> None:
    with pytest.raises(AdpkvError, match="already open in transport mpi"):
        rig.transport.expect(rig.transfer)


@pytest.mark.parametrize("said", [(2,), (2, 2), (3, 2)])
def test_a_lingering_cancel_and_the_last_piece_end_a_transfer_once(
    rig: Rig, said: tuple[int, ...]
) -> None:
    for pieces in said:
        rig.transport.peer_ended(rig.transfer.session, pieces)
    assert rig.transport.poll() == []
    for request in rig.wire.requests:
        request.done, request.gone = not request.asked, True
    [end] = rig.transport.poll()
    assert (end.kind, end.pieces) == (EndKind.FAILED, 2)
    assert rig.transport.poll() == []


def test_the_end_of_one_is_not_the_end_of_the_next_with_its_id(rig: Rig) -> None:
    rig.transport.peer_ended(rig.transfer.session, 2)
    for request in rig.wire.requests:
        request.done, request.gone = not request.asked, True
    assert len(rig.transport.poll()) == 1
    rig.transport.expect(rig.transfer)
    assert rig.transport.poll() == []


def nowhere(rank: int) -> int | None:
    """Rank 0, the sender, is dead."""
    return None if rank == 0 else rank - 1


def test_a_dead_peer_is_lost_and_the_blocks_are_quiet_when_the_requests_have_ended(
    rig: Rig,
) -> None:
    rig.wire.requests[0].done = True
    assert rig.transport.halt() == 1, "tags below it are void"
    rig.transport.move(rig.wire, nowhere, lambda: None, {})  # type: ignore[arg-type]
    assert [end.kind for end in rig.transport.poll()] == [EndKind.LOST]
    for request in rig.wire.requests:
        request.done = True
    assert [end.kind for end in rig.transport.poll()] == [EndKind.FAILED]
    other = Transfer(2, 0, 0, 1, 1, (0,), (0,), 8)
    assert not rig.transport.expect(other), "nobody would write"


def test_what_a_living_receiver_advertised_before_is_void(rig: Rig) -> None:
    rig.transport.halt()
    rig.transport.move(rig.wire, lambda rank: rank, lambda: None, {3: 5})  # type: ignore[arg-type]
    rig.transport.post(Transfer(7, 0, 1, 3, 4, (0, 1), (0, 1), 16))
    [end] = rig.transport.poll()
    assert (end.session, end.kind, end.pieces) == ((7, 0), EndKind.FAILED, 0)
