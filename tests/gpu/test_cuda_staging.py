"""Staging slots on a device: what lands in a slot too late is found, as in host memory."""

from __future__ import annotations

from typing import Any

import pytest

from adpkv.gpu.device import Device
from adpkv.memory.cuda import CudaMemory
from adpkv.memory.slot_book import MARK_BYTES, MOST_MARKS

SLOT_BLOCKS = 4


class Rig:
    """A pool of sixteen blocks, and two slots of four."""

    def __init__(self, host: bool, slot_blocks: int = SLOT_BLOCKS, head: int = 35) -> None:
        self.told: list[str] = []
        self.device = Device(0)
        self.memory = CudaMemory(
            self.device, 16, 1, 1, 1, head, 1, lambda kind, *_: self.told.append(kind)
        )
        self.area = self.memory.staging(2, slot_blocks, host)

    def used(self, slot: int, blocks: int = 4) -> None:
        """A session had the slot for a peer to write into, and has given it back."""
        self.area.take(slot, 7, range(blocks))
        session: Any = (7, 0)
        self.area.lend(session, 1, slot * self.area.slot_blocks, blocks, writes=True)
        self.area.take_back(session)
        self.area.give_back(slot, 7)
        self.memory.poll()  # as the rank's next iteration does

    def put(self, block: int, at: int = 0) -> None:
        """A byte lands in a block of the area."""
        address = self.area.region().address + block * self.area.block_bytes + at
        self.device.put(address, b"\1")

    def found(self) -> list[str]:
        self.memory.finish()
        return self.told


@pytest.fixture(params=[False, True], ids=["on the device", "in pinned memory"])
def rig(request: pytest.FixtureRequest, fake: Any) -> Rig:
    return Rig(request.param)


def test_a_slot_that_was_given_back_is_given_out_again(rig: Rig) -> None:
    rig.used(1)
    rig.area.take(1, 8, range(2))
    rig.area.pack([5, 2], 4)
    rig.area.lend((8, 0), 1, 4, 2, writes=False)  # type: ignore[arg-type]
    rig.area.take_back((8, 0))  # type: ignore[arg-type]
    rig.area.give_back(1, 8)
    rig.area.take(1, 9, range(4))
    rig.area.give_back(1, 9)
    rig.memory.look_at_free()
    assert rig.told == []


@pytest.mark.parametrize(("place", "at"), [(0, 0), (1, MARK_BYTES - 1), (2, 1), (3, 0)])
def test_bytes_that_land_after_the_proof_are_found(rig: Rig, place: int, at: int) -> None:
    rig.used(0)
    rig.put(place, at)
    rig.area.take(0, 8, range(1))
    assert rig.found() == ["write_after_free"]


def test_they_are_found_at_the_end_too(rig: Rig) -> None:
    rig.used(1)
    rig.put(SLOT_BLOCKS)
    rig.memory.look_at_free()
    assert rig.told == ["write_after_free"]


def test_a_chunk_in_a_large_slot_covers_a_mark(fake: Any) -> None:
    rig = Rig(False, 4 * MOST_MARKS, head=5)  # blocks of 10 bytes: shorter than a mark
    rig.used(0, 4 * MOST_MARKS)
    for block in range(9, 13):
        rig.put(block, 3)
    rig.area.take(0, 8, range(1))
    assert rig.found() == ["write_after_free"]


def test_who_may_touch_a_slot_is_checked(rig: Rig) -> None:
    area = rig.area
    area.take(0, 7, range(4))
    area.take(0, 8, range(4))
    assert rig.told.pop() == "two_owners"
    area.lend((8, 0), 1, 0, 2, writes=True)  # type: ignore[arg-type]
    area.lend((8, 1), 1, 1, 2, writes=True)  # type: ignore[arg-type]
    assert rig.told.pop() == "two_writers"
    area.unpack(1, [3])
    assert [rig.told.pop(), rig.told.pop()] == ["freed_in_doubt"] * 2
    area.give_back(0, 8)
    assert rig.told == ["freed_in_doubt"]


def test_a_copy_of_a_stopped_transfer_ends_before_the_slot_is_advertised(
    rig: Rig, fake: Any
) -> None:
    rig.memory.finish()
    fake.held = True
    rig.area.take(0, 7, range(2))
    rig.area.pack([5, 2], 0)
    rig.area.give_back(0, 7)
    rig.area.take(0, 8, range(2))
    assert not rig.area.written().passed()
    fake.held = False
    rig.memory.finish()
    assert rig.area.written().passed()


def test_a_slot_is_written_when_its_check_is_done(rig: Rig, fake: Any) -> None:
    """A peer that learns of the slot then cannot overtake the check."""
    assert rig.area.written().passed()
    rig.used(0)
    rig.memory.finish()
    fake.held = True
    rig.area.take(0, 8, range(1))
    fence = rig.area.written()
    for _ in range(5):
        assert not fence.passed()
    fake.held = False
    for _ in range(20):
        rig.memory.poll()
    assert fence.passed()
    assert rig.told == []


def test_a_list_of_blocks_that_waits_on_the_device_packs_the_same(rig: Rig) -> None:
    """Both halves, by one list; and the next transfer of the slot does not get it."""
    memory, area = rig.memory, rig.area
    size = memory.block_bytes
    for block in range(16):
        rig.device.put(memory.region().address + block * size, bytes([block + 1]) * size)

    def packed() -> list[int]:
        memory.finish()
        found = rig.device.fetch(area.region().address, area.region().nbytes)
        return [found[(4 + n) * size] - 1 for n in range(4)]

    area.take(1, 7, range(4))
    area.prepare(1, (9, 2, 14, 5))
    assert area._lists.at(6, (14, 5))
    area.pack((9, 2), 4)
    area.pack((14, 5), 6)
    assert packed() == [9, 2, 14, 5]
    area.give_back(1, 7)
    area.take(1, 8, range(2))
    area.pack((3, 8), 4)
    assert packed()[:2] == [3, 8]


class Never:
    """A fence that has not passed."""

    def passed(self) -> bool:
        return False


def test_a_list_of_blocks_that_waits_on_the_device_unpacks_the_same(rig: Rig) -> None:
    """And one that does not fit the transfer, or may still be read, is not used."""
    memory, area = rig.memory, rig.area
    blocks, size = (9, 2, 14, 5), memory.block_bytes
    content = [bytes([n + 1]) * size for n in range(4)]

    def arrive() -> None:
        for n, one in enumerate(content):
            rig.device.put(area.region().address + (4 + n) * size, one)

    def pool(block: int) -> bytes:
        memory.finish()
        return rig.device.fetch(memory.region().address + block * size, size)

    arrive()
    area.prepare(1, blocks)
    assert area._lists.at(4, blocks[:2])
    area.unpack(4, blocks[:2])
    area.unpack(6, blocks[2:])
    assert [pool(block) for block in blocks] == content
    others = (3, 8, 1, 7)
    assert not area._lists.at(4, others), "the list has other numbers"
    area.unpack(4, others)
    assert [pool(block) for block in others] == content
    area.prepare(1, others)
    area.unpack(4, others)
    area._lists._in_use[1] = Never()
    area.prepare(1, blocks)
    assert not area._lists.at(4, blocks), "a kernel may still read what would be overwritten"
    assert not area._lists.at(4, others)
    del area._lists._in_use[1]
    area.prepare(1, range(SLOT_BLOCKS + 1))
    assert not area._lists.at(4, range(4)), "more than a slot has"
    area.prepare(1, blocks)
    area.give_back(1, 7)
    assert not area._lists.at(4, blocks)
    assert [pool(block) for block in others] == content
