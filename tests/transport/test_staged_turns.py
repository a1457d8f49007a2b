"""How much a staged transport does in one call: after a limit of time it goes on in the next."""

from __future__ import annotations

from itertools import pairwise

import pytest

from adpkv.core.ids import SessionId
from adpkv.memory.port import PASSED, Fence
from adpkv.transport.port import EndKind, Transfer, TransportEnd
from adpkv.transport.staged import TURN_NS, StagedTransport

BLOCKS = tuple(range(8))


class Area:
    """Slots of four blocks; each copy takes a while of the caller."""

    slots, slot_blocks, block_bytes = 4, 4, 8

    def __init__(self, takes_ns: int) -> None:
        self.now_ns, self._takes_ns, self.copies = 0, takes_ns, 0

    def clock(self) -> int:
        return self.now_ns

    def pack(self, blocks: object, first: int) -> Fence:
        self.copies, self.now_ns = self.copies + 1, self.now_ns + self._takes_ns
        return PASSED

    def unpack(self, first: int, blocks: object) -> Fence:
        return self.pack(blocks, first)


class Inner:
    """What is posted or expected has ended in the next poll."""

    name, proofs, can_withdraw = "inner", (), True

    def __init__(self) -> None:
        self.posts, self._ended = 0, list[TransportEnd]()

    def expect(self, transfer: Transfer) -> bool:
        self._ended.append(TransportEnd(transfer.session, EndKind.DONE, transfer.nbytes))
        return True

    def post(self, transfer: Transfer) -> None:
        self.posts += 1
        self.expect(transfer)

    def poll(self) -> list[TransportEnd]:
        ended, self._ended = self._ended, []
        return ended

    def has_failed(self, rank: int) -> bool:
        return False

    def last_moved_ns(self) -> int:
        return 0


def staged(area: Area, inner: Inner) -> StagedTransport:
    def tell(sender: int, session: SessionId, chunks: int) -> None: ...

    return StagedTransport(
        inner,  # type: ignore[arg-type]
        area,  # type: ignore[arg-type]
        tell,
        pack_bytes=1 << 20,
        repeat_ns=1 << 40,
        clock=area.clock,
        wake=lambda _: None,
    )


def transfer(number: int) -> Transfer:
    return Transfer(number, 0, 0, 1, number, BLOCKS, BLOCKS, 64, number, number)


@pytest.mark.parametrize(("takes_ns", "most"), [(0, 2), (TURN_NS, 1)])
def test_a_sender_does_so_much_in_one_call(takes_ns: int, most: int) -> None:
    """The first thing always, however late it is: packing takes its time, and posting none here."""
    area, inner = Area(takes_ns), Inner()
    transport = staged(area, inner)
    calls = [
        lambda: transport.post(transfer(1)),
        transport.poll,
        lambda: transport.unpacked(transfer(1).session, 2),
        *[transport.poll] * 3,
    ]
    copies = [0]
    for call in calls:
        call()
        copies.append(area.copies)
    assert max(after - before for before, after in pairwise(copies)) == most
    assert (area.copies, inner.posts) == (4, 4)


def test_every_session_gets_its_turn() -> None:
    area, inner = Area(TURN_NS), Inner()
    transport = staged(area, inner)
    transport.expect(transfer(1))
    transport.expect(transfer(2))
    ended = []
    for calls in range(1, 20):
        ended += [end.session[0] for end in transport.poll()]
        assert area.copies <= calls
        if len(ended) == 2:
            break
    assert sorted(ended) == [1, 2]
