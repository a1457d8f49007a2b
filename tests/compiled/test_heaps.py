"""`heaps.c` and Python's own heaps: the same lists, results and errors."""

from __future__ import annotations

import copy
import heapq
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adpkv import heaps
from tests.compiled.in_c import loaded


class Odd:
    """What only Python can compare."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Odd) and self.value == other.value

    def __lt__(self, other: Odd) -> bool:
        return self.value < other.value

    def __repr__(self) -> str:
        return f"Odd({self.value})"


NUMBERS = st.integers(-3, 3) | st.sampled_from((1 << 29, 1 << 30, -(1 << 62), 1 << 63, -(1 << 90)))
SAME_KIND = st.sampled_from(
    (
        NUMBERS,
        st.tuples(NUMBERS, NUMBERS),
        st.tuples(NUMBERS, NUMBERS, st.builds(Odd, st.integers(0, 2))),
        st.tuples(st.tuples(NUMBERS, NUMBERS), NUMBERS),
        st.lists(NUMBERS, max_size=3).map(tuple),
        st.tuples(NUMBERS | st.booleans() | st.floats(allow_nan=True), NUMBERS),
        st.tuples(NUMBERS, st.text(max_size=1)),
    )
)
STEPS = SAME_KIND.flatmap(
    lambda items: st.lists(
        st.tuples(st.sampled_from(("heappush", "heapreplace")), items)
        | st.tuples(st.sampled_from(("heappop", "heapify")), st.none())
        | st.tuples(st.just("turn"), st.none()),
        max_size=40,
    )
)


def _done(module: Any, steps: list[tuple[str, Any]]) -> list[str]:
    """What one can see after each step."""
    heap: list[Any] = []
    seen = []
    for what, item in steps:
        if what == "turn":
            heap.reverse()
            continue
        told = (heap,) if item is None else (heap, item)
        try:
            found = getattr(module, what)(*told)
        except (IndexError, TypeError) as error:
            found = error
        seen.append(f"{what} {found!r} {heap!r}")
    return seen


@given(STEPS)
@settings(max_examples=600, deadline=None)
def test_a_heap_is_what_python_makes_of_it(steps: list[tuple[str, Any]]) -> None:
    assert _done(loaded("heaps"), copy.deepcopy(steps)) == _done(heapq, steps)


def test_a_long_heap_comes_out_in_order() -> None:
    made = loaded("heaps")
    items = [(number * 7919 % 1000, -number, None) for number in range(5000)]
    heap = list(items)
    made.heapify(heap)
    assert [made.heappop(heap) for _ in items] == sorted(items)


@pytest.mark.parametrize("name", heaps.__all__)
@pytest.mark.parametrize("told", [(), (1,), ((),), ((), 1), ([], 1, 2), ({}, 1)])
def test_what_is_no_heap_is_refused(name: str, told: tuple[Any, ...]) -> None:
    for module in (loaded("heaps"), heapq):
        with pytest.raises(TypeError):
            getattr(module, name)(*told)


class Changing(Odd):
    """Drops an item of the heap in the middle of a comparison."""

    def __init__(self, heap: list[Any]) -> None:
        super().__init__(0)
        self.heap = heap

    def __eq__(self, other: object) -> bool:
        self.heap.pop()
        return False


@pytest.mark.parametrize(
    "change",
    [lambda module, heap: module.heapify(heap), lambda module, heap: module.heappop(heap)],
)
def test_a_heap_that_changes_meanwhile_is_an_error(change: Callable[..., object]) -> None:
    for module in (loaded("heaps"), heapq):
        heap: list[Any] = []
        heap += [(1, Changing(heap)) for _ in range(9)]
        with pytest.raises(RuntimeError, match="list changed size during iteration"):
            change(module, heap)


def test_plain_python_has_its_own() -> None:
    assert [getattr(heaps, name) for name in heaps.__all__] == [
        getattr(heapq, name) for name in heaps.__all__
    ]
