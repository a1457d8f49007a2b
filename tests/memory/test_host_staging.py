"""Staging slots in host memory: bytes go where they must, and each check of a slot fires."""

from __future__ import annotations

from typing import Any

import pytest

from adpkv.memory.host import HostMemory
from adpkv.memory.host_staging import HostStaging
from adpkv.memory.slot_book import MOST_MARKS

SLOT_BLOCKS = 4


class Rig:
    """A pool of sixteen blocks of 64 bytes, and two slots of four."""

    def __init__(self, slot_blocks: int = SLOT_BLOCKS) -> None:
        self.told: list[str] = []
        self.memory = HostMemory(16, 1, 1, 1, 32, 1, lambda kind, *_: self.told.append(kind))
        self.area: HostStaging = self.memory.staging(2, slot_blocks)

    def fill(self, block: int, value: int) -> None:
        self.memory.view(block, 1)[:] = bytes([value]) * 64

    def used(self, slot: int, request_id: int = 7, blocks: int = 4) -> None:
        """A session had the slot for a peer to write into, and has given it back."""
        self.area.take(slot, request_id, range(blocks))
        self.lent(slot)
        self.area.give_back(slot, request_id)

    def lent(self, slot: int) -> None:
        """A peer may write a block of the slot, for a while."""
        session: Any = (99, slot)
        self.area.lend(session, 1, slot * self.area.slot_blocks, 1, writes=True)
        self.area.take_back(session)


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_blocks_are_packed_side_by_side_and_unpacked_where_they_belong(rig: Rig) -> None:
    for block in (3, 9, 1):
        rig.fill(block, block)
    assert rig.area.pack([9, 3, 1], 4).passed()
    assert bytes(rig.area.view(4, 3)) == b"\x09" * 64 + b"\x03" * 64 + b"\x01" * 64
    assert rig.area.unpack(4, [0, 15, 7]).passed()
    assert [rig.memory.view(block, 1)[0] for block in (0, 15, 7)] == [9, 3, 1]
    assert rig.area.written().passed()
    assert rig.area.region().nbytes == 2 * SLOT_BLOCKS * 64
    assert rig.told == []


def test_a_slot_that_was_given_back_is_given_out_again(rig: Rig) -> None:
    rig.area.take(1, 7, range(4))
    rig.area.lend((7, 0), 0, 4, 2, writes=True)  # type: ignore[arg-type]
    rig.area.take_back((7, 0))  # type: ignore[arg-type]
    rig.area.give_back(1, 7)
    rig.used(1, 8, blocks=2)
    rig.used(1, 9)
    rig.memory.look_at_free()
    assert rig.told == []


@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_bytes_that_land_after_the_proof_are_found(rig: Rig, place: int) -> None:
    rig.used(0)
    rig.area.view(place, 1)[0] = 1
    rig.area.take(0, 8, range(1))
    assert rig.told == ["write_after_free"]


def test_they_are_found_at_the_end_too(rig: Rig) -> None:
    rig.used(1)
    rig.area.view(SLOT_BLOCKS, 1)[0] = 1
    rig.memory.look_at_free()
    assert rig.told == ["write_after_free"]


def test_what_nobody_used_is_not_marked(rig: Rig) -> None:
    """A slot is only touched as far as it is needed: memory is given when it is touched. One that
    no peer wrote into is not touched at all."""
    rig.used(0, blocks=1)
    assert bytes(rig.area.view(1, 3)) == bytes(3 * 64)
    rig.area.take(1, 7, range(4))
    rig.area.lend((7, 0), 1, 4, 4, writes=False)  # type: ignore[arg-type]
    rig.area.take_back((7, 0))  # type: ignore[arg-type]
    rig.area.give_back(1, 7)
    assert bytes(rig.area.view(4, 4)) == bytes(4 * 64)
    rig.area.take(1, 8, range(4))
    assert rig.told == []


def test_a_chunk_in_a_large_slot_covers_a_mark() -> None:
    rig = Rig(4 * MOST_MARKS)
    rig.used(0, blocks=4 * MOST_MARKS)
    rig.area.view(9, 4)[:] = bytes(4 * 64)
    rig.area.take(0, 8, range(1))
    assert rig.told == ["write_after_free"]


def test_a_slot_with_two_owners(rig: Rig) -> None:
    rig.area.take(0, 7, range(4))
    rig.area.take(0, 8, range(4))
    assert rig.told == ["two_owners"]


def test_a_slot_given_back_in_doubt(rig: Rig) -> None:
    rig.area.take(0, 7, range(4))
    rig.area.lend((7, 1), 0, 2, 2, writes=True)  # type: ignore[arg-type]
    rig.area.give_back(0, 7)
    assert rig.told == ["freed_in_doubt"]


def test_two_sessions_lend_the_same_blocks(rig: Rig) -> None:
    rig.area.lend((7, 0), 0, 0, 2, writes=True)  # type: ignore[arg-type]
    rig.area.lend((8, 0), 0, 1, 2, writes=True)  # type: ignore[arg-type]
    assert rig.told == ["two_writers"]


@pytest.mark.parametrize(("writes", "packing"), [(True, 1), (False, 1), (True, 0), (False, 0)])
def test_copies_of_what_is_lent(rig: Rig, writes: bool, packing: int) -> None:
    """Nothing is packed over what a peer reads or writes; what it only reads may be unpacked."""
    rig.area.lend((7, 0), 0, 0, 2, writes=writes)  # type: ignore[arg-type]
    if packing:
        rig.area.pack([3], 1)
    else:
        rig.area.unpack(1, [3])
    assert rig.told == (["freed_in_doubt"] if writes or packing else [])
