"""Numbers of blocks are the same objects for everybody."""

from __future__ import annotations

from adpkv.core.block_numbers import block_numbers


def test_they_are_numbers_in_order_and_shared() -> None:
    for first, end in ((0, 0), (3, 3), (5, 9), (0, 2000), (1900, 5000)):
        assert block_numbers(first, end) == [*range(first, end)]
    one, other = block_numbers(1000, 1010), block_numbers(995, 1005)
    assert all(a is b for a, b in zip(one[:5], other[5:], strict=True))


def test_each_asker_has_a_list_of_its_own() -> None:
    block_numbers(0, 3).clear()
    assert block_numbers(0, 3) == [0, 1, 2]
