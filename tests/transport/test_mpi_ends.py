"""Ends of the MPI transport that a real link shows rarely: with requests that the test ends."""

# ruff: noqa: N802 - the names are those of MPI

from __future__ import annotations

import pytest

pytest.importorskip("mpi4py")

from adpkv.errors import AdpkvError
from adpkv.transport.mpi import MpiTransport
from adpkv.transport.port import EndKind, Transfer

BLOCK_BYTES = 8


class MpiError(Exception):
    """Of MPI."""


class Request:
    """Of a piece. Its cancel takes effect when the test says so; null once it has ended."""

    def __init__(self, gone: bool = False) -> None:
        self.done = self.asked = self.error = self.tested = self.null = False
        self.gone = gone

    def __bool__(self) -> bool:
        return not self.null

    def Cancel(self) -> None:
        self.asked = True

    def Test(self) -> bool:
        self.tested = True
        if self.error and not self.null:
            self.null = True
            raise Stub.Exception
        self.null = self.null or self.done or (self.asked and self.gone)
        return self.null


class Ranks(list[int]):
    """A group."""

    def Get_size(self) -> int:
        return len(self)


class Link:
    """A communicator; `room` is for how many requests MPI takes more."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.failed: list[int] = []
        self.fails_late: list[int] = []
        self.room, self.cancels = 99, False

    def Get_attr(self, key: int) -> int:
        return 32_767

    def Get_failed(self) -> Ranks:
        return Ranks(self.failed)

    def Get_group(self) -> None: ...

    def Irecv(self, buffer: object, peer: int, tag: int) -> Request:
        if not self.room:
            raise Stub.Exception
        self.room -= 1
        self.requests.append(Request(self.cancels))
        return self.requests[-1]

    Isend = Irecv


class Memory:
    block_bytes = BLOCK_BYTES

    def view(self, first: int, count: int) -> memoryview:
        return memoryview(bytearray(BLOCK_BYTES * count))


class Stub:
    """Of the module `MPI`: what polling asks."""

    TAG_UB = BYTE = 0
    Exception = MpiError

    class Request:
        @staticmethod
        def Testsome(requests: list[Request]) -> list[int]:
            done = [at for at, request in enumerate(requests) if request.done]
            failed = [request for request in requests if request.error]
            for request in [*failed, *(requests[at] for at in done)]:
                request.tested = request.null = True
            if failed:
                raise MpiError
            return done

    class Group:
        @staticmethod
        def Translate_ranks(group: Ranks, ranks: None, other: None) -> list[int]:
            return list(group)


class Rig:
    """A receiver of four pieces from rank 0. `mortal`: it looks for rank failures."""

    def __init__(self, mortal: bool = False) -> None:
        self.link, self.suspicions, self.now_ns = Link(), 0, 0
        self.transport = MpiTransport(
            self.link,  # type: ignore[arg-type]
            Memory(),
            piece_bytes=BLOCK_BYTES,
            budget_bytes=64,
            clock=lambda: self.now_ns,
            broke=self.suspect if mortal else None,
        )
        self.transfer = Transfer((1, 0), 0, 0, 1, 0, (0, 1, 2, 3), (0, 1, 2, 3), 32)
        self.transport.expect(self.transfer)

    def suspect(self) -> None:
        self.suspicions += 1
        self.link.failed += self.link.fails_late
        self.link.fails_late = []


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Rig:
    monkeypatch.setattr("adpkv.transport.mpi_opened.MPI", Stub)
    monkeypatch.setattr("adpkv.transport.mpi.MPI", Stub)
    monkeypatch.setattr("adpkv.transport.mpi_posting.MPI.Exception", MpiError)
    return Rig()


@pytest.fixture
def mortal(rig: Rig) -> Rig:
    return Rig(mortal=True)


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
    for request in rig.link.requests:
        request.done, request.gone = not request.asked, True
    [end] = rig.transport.poll()
    assert (end.kind, end.pieces) == (EndKind.FAILED, 2)
    assert rig.transport.poll() == []


def test_the_end_of_one_is_not_the_end_of_the_next_with_its_id(rig: Rig) -> None:
    rig.transport.peer_ended(rig.transfer.session, 2)
    for request in rig.link.requests:
        request.done, request.gone = not request.asked, True
    assert len(rig.transport.poll()) == 1
    rig.transport.expect(rig.transfer)
    assert rig.transport.poll() == []


def test_a_failed_sender_is_lost_and_the_blocks_are_quiet_when_the_requests_have_ended(
    mortal: Rig,
) -> None:
    rig = mortal
    rig.link.failed = [0]
    assert rig.transport.poll() == []
    assert rig.suspicions == 1
    for request in rig.link.requests:
        request.error = True
    assert rig.transport.poll() == [], "nothing of it is tested until all know"
    assert not any(request.tested for request in rig.link.requests)
    rig.link.requests[0].error = False
    rig.transport.handle_peer_failure([0])
    assert [end.kind for end in rig.transport.poll()] == [EndKind.LOST]
    rig.link.requests[0].done = True
    assert [end.kind for end in rig.transport.poll()] == [EndKind.FAILED]
    other = Transfer(2, 0, 0, 1, 1, (0,), (0,), 8)
    assert not rig.transport.expect(other), "nobody would write"
    assert rig.suspicions == 1


def test_what_a_failed_sender_had_sent_whole_is_done(mortal: Rig) -> None:
    rig = mortal
    rig.link.failed = [0]
    rig.transport.poll()
    for request in rig.link.requests:
        request.done = True
    rig.transport.handle_peer_failure([0])
    [end] = rig.transport.poll()
    assert (end.kind, end.pieces, end.nbytes) == (EndKind.DONE, 4, 32)


def test_a_send_to_a_failed_rank_is_over_and_its_request_is_left_alone(mortal: Rig) -> None:
    rig = mortal
    rig.transport.post(Transfer(7, 0, 1, 3, 4, (0, 1), (0, 1), 16))
    rig.transport.post(Transfer(8, 0, 1, 2, 4, (0, 1), (0, 1), 16))
    sends = rig.link.requests[4:]
    assert len(sends) == 4
    rig.transport.handle_peer_failure([3])
    rig.link.failed = [3]
    ends = rig.transport.poll()
    assert [(end.session, end.kind) for end in ends] == [
        ((7, 0), EndKind.LOST), ((7, 0), EndKind.FAILED),
    ]  # fmt: skip
    assert not any(request.tested for request in sends[:2])
    assert rig.suspicions == 0, "it was known"
    rig.transport.post(Transfer(9, 0, 1, 3, 5, (0, 1), (0, 1), 16))
    [end] = rig.transport.poll()
    assert (end.session, end.kind, end.pieces) == ((9, 0), EndKind.FAILED, 0)
    for request in sends[2:]:
        request.done = True
    [end] = rig.transport.poll()
    assert (end.session, end.kind) == ((8, 0), EndKind.DONE)


def test_an_error_before_the_notice_of_a_failure_makes_nothing_whole(mortal: Rig) -> None:
    """MPI says that one of many has failed, and has taken away all that have ended."""
    rig = mortal
    other = Transfer(2, 0, 2, 1, 1, (0,), (0,), 8)
    rig.transport.expect(other)
    rig.link.requests[0].error = rig.link.requests[4].done = True
    rig.link.fails_late = [0]
    ends = rig.transport.poll()
    assert [(end.session, end.kind) for end in ends] == [((2, 0), EndKind.FAILED)]
    assert rig.suspicions >= 1
    rig.transport.handle_peer_failure([0])
    assert [end.kind for end in rig.transport.poll()] == [EndKind.LOST]
    for request in rig.link.requests:
        request.done = True
    assert [end.kind for end in rig.transport.poll()] == [EndKind.FAILED]


@pytest.mark.parametrize("pieces", [1, 2])
def test_what_older_ones_have_brought_is_not_lost_with_an_error_of_the_newest(
    mortal: Rig, monkeypatch: pytest.MonkeyPatch, pieces: int
) -> None:
    rig = mortal
    monkeypatch.setattr("adpkv.transport.mpi_opened.RECENT", 1)
    older = tuple(range(pieces))
    rig.transport.expect(Transfer(2, 0, 2, 1, 1, older, older, 8 * pieces))
    rig.transport.expect(Transfer(3, 0, 0, 1, 2, older, older, 8 * pieces))
    rig.transport.expect(Transfer(4, 0, 0, 1, 3, (0,), (0,), 8))
    for request in rig.link.requests[4:-1]:
        request.done = True
    newest = rig.link.requests[-1]

    def fails() -> bool:
        rig.link.failed, newest.null = [0], True
        raise Stub.Exception

    monkeypatch.setattr(newest, "Test", fails)
    rig.now_ns += 10**6
    ends = [(end.session, end.kind) for end in rig.transport.poll()]
    assert ((2, 0), EndKind.DONE) in ends
    rig.transport.handle_peer_failure([0])
    ends += [(end.session, end.kind) for end in rig.transport.poll()]
    assert ends.count(((3, 0), EndKind.DONE)) == 1, "all its bytes have arrived"
    assert ((4, 0), EndKind.LOST) in ends
    assert ((4, 0), EndKind.DONE) not in ends


def test_a_refused_send_leaves_the_budget_to_others(mortal: Rig) -> None:
    rig = mortal
    rig.link.room = 0
    posting = rig.transport._posting
    left = posting._left_bytes
    rig.transport.post(Transfer(7, 0, 1, 3, 4, (0,), (0,), 8))
    assert (posting._left_bytes, posting._open_bytes[3]) == (left, 0)


def test_without_a_hearer_an_error_is_raised(rig: Rig) -> None:
    rig.link.requests[0].error = True
    with pytest.raises(Stub.Exception):
        rig.transport.poll()


@pytest.mark.parametrize("lingers", [False, True])
def test_a_receive_that_mpi_refuses_to_post_is_taken_back(mortal: Rig, lingers: bool) -> None:
    rig = mortal
    other = Transfer(2, 0, 0, 1, 1, (0, 1), (0, 1), 16)
    rig.link.room = 1
    rig.link.cancels = not lingers
    assert rig.transport.expect(other) == lingers
    assert rig.suspicions == 1
    rig.link.requests[-1].gone = True
    assert [(end.session, end.kind) for end in rig.transport.poll()] == (
        [((2, 0), EndKind.FAILED)] if lingers else []
    )


def test_a_send_that_mpi_refuses_to_post_ends(mortal: Rig) -> None:
    rig = mortal
    rig.link.room = 1
    rig.transport.post(Transfer(7, 0, 1, 3, 4, (0, 1), (0, 1), 16))
    assert rig.suspicions == 1
    assert rig.transport.poll() == []
    rig.link.requests[-1].done = True
    [end] = rig.transport.poll()
    assert (end.session, end.kind, end.pieces) == ((7, 0), EndKind.FAILED, 0)
