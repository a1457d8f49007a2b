"""Numbers of blocks are the same objects for everybody."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import pytest

from adpkv.core import block_numbers as module
from adpkv.core.block_numbers import MOST_SHARED, block_numbers

ENDS = (1, 5, 17, 40, 100, 300, 900, 2000, 5000)


@pytest.fixture
def shared() -> Iterator[list[list[int]]]:
    """What is kept: a test may begin anew. Threads take turns as often as Python lets them."""
    interval, before = sys.getswitchinterval(), module._SHARED[0]
    sys.setswitchinterval(1e-6)
    yield module._SHARED
    module._SHARED[0] = before
    sys.setswitchinterval(interval)


def test_they_are_numbers_in_order_and_shared() -> None:
    for first, end in ((0, 0), (3, 3), (5, 9), (0, 2000), (1900, 5000)):
        assert block_numbers(first, end) == [*range(first, end)]
    one, other = block_numbers(1000, 1010), block_numbers(995, 1005)
    assert all(a is b for a, b in zip(one[:5], other[5:], strict=True))


def test_each_asker_has_a_list_of_its_own() -> None:
    block_numbers(0, 3).clear()
    assert block_numbers(0, 3) == [0, 1, 2]


def test_no_more_are_kept_than_the_bound_says() -> None:
    for first in (0, MOST_SHARED - 2, MOST_SHARED, MOST_SHARED + 3):
        assert block_numbers(first, MOST_SHARED + 5) == [*range(first, MOST_SHARED + 5)]
    assert len(module._SHARED[0]) == MOST_SHARED


def test_what_another_thread_reads_never_changes(shared: list[list[int]]) -> None:
    shared[0] = numbers = [0, 1, 2]
    assert block_numbers(1, 9) == [*range(1, 9)]
    assert numbers == [0, 1, 2]
    assert shared[0] == [*range(9)]


def test_threads_that_ask_at_once_get_the_right_numbers(shared: list[list[int]]) -> None:
    wrong: list[int] = []

    def ask(go: threading.Barrier) -> None:
        go.wait()
        wrong.extend(end for end in ENDS if block_numbers(0, end) != [*range(end)])

    for _ in range(100):
        shared[0] = []
        go = threading.Barrier(4)
        threads = [threading.Thread(target=ask, args=(go,)) for _ in range(4)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        assert shared[0] == [*range(len(shared[0]))]
    assert not wrong
