"""Which lists of blocks a device has, with memory of the host in its place: no list is taken for
another, and none is read beyond its end."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any

import pytest

from adpkv.memory.cuda_lists import NUMBER_BYTES, SlotLists
from adpkv.memory.port import PASSED

SLOTS, SLOT_BLOCKS = 2, 4


class HostAsDevice:
    """Allocates as a device does, and copies at once."""

    def __init__(self) -> None:
        self._made: dict[int, Any] = {}

    def allocate(self, nbytes: int) -> int:
        buffer = ctypes.create_string_buffer(nbytes)
        self._made[ctypes.addressof(buffer)] = buffer
        return ctypes.addressof(buffer)

    def free(self, address: int) -> None:
        del self._made[address]

    allocate_pinned, free_pinned = allocate, free

    def upload(self, to: int, source: int, nbytes: int) -> None:
        ctypes.memmove(to, source, nbytes)

    def point(self) -> Any:
        return PASSED


@pytest.fixture
def lists() -> Iterator[SlotLists]:
    device: Any = HostAsDevice()
    found = SlotLists(device, device, SLOTS, SLOT_BLOCKS)
    yield found
    found.close()
    assert not device._made


def numbers_at(address: int, count: int) -> list[int]:
    return list((ctypes.c_uint32 * count).from_address(address))


def test_a_part_of_a_list_is_where_its_blocks_are(lists: SlotLists) -> None:
    lists.put(1, [7, 3, 9, 5])
    first = SLOT_BLOCKS + 1
    address = lists.at(first, [3, 9])
    assert numbers_at(address, 2) == [3, 9]
    assert lists.at(SLOT_BLOCKS, [7, 3, 9, 5]) == address - NUMBER_BYTES


@pytest.mark.parametrize(
    ("first", "blocks"),
    [
        (SLOT_BLOCKS, [3, 7]),
        (SLOT_BLOCKS, [7, 9]),
        (SLOT_BLOCKS + 1, [3, 5]),
        (SLOT_BLOCKS + 2, [5]),
        (SLOT_BLOCKS, []),
        (0, [7, 3]),
    ],
    ids=["begins otherwise", "ends otherwise", "longer", "behind its end", "nothing", "other slot"],
)
def test_what_is_not_there_goes_the_usual_way(
    lists: SlotLists, first: int, blocks: list[int]
) -> None:
    lists.put(1, [7, 3])
    assert lists.at(first, blocks) == 0


def test_what_is_dropped_or_too_long_is_not_there(lists: SlotLists) -> None:
    lists.put(0, [1, 2])
    lists.drop(0)
    assert lists.at(0, [1, 2]) == 0
    lists.put(0, list(range(SLOT_BLOCKS + 1)))
    assert lists.at(0, [0]) == 0
