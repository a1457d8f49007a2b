"""`heaps.c` and Python's own heaps: the same lists, results and errors."""

from __future__ import annotations

import copy
import gc
import heapq
import random
import weakref
from collections.abc import Callable
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adpkv import heaps
from adpkv.core.ids import LAST_NS
from adpkv.worlds.virtual import schedule
from adpkv.worlds.virtual.event_queue import GROUP_WAKE, LINK, MESSAGES
from adpkv.worlds.virtual.schedule import MOST_PLACE, ScheduledQueue
from tests.compiled.in_c import loaded

FUNCTIONS = [name for name in heaps.__all__ if name.startswith("heap")]


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


@pytest.mark.parametrize("name", FUNCTIONS)
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
    assert [getattr(heaps, name) for name in FUNCTIONS] == [
        getattr(heapq, name) for name in FUNCTIONS
    ]


# -- events ------------------------------------------------------------------------------------

TIMES = st.integers(0, 3) | st.sampled_from((1 << 30, (1 << 62) + 1))
EVENTS = st.lists(
    st.none() | st.tuples(TIMES, st.integers(-(1 << 43), 3), st.integers(0, 2)), max_size=80
)


@given(EVENTS)
@settings(max_examples=400, deadline=None)
def test_events_come_in_their_order(steps: list[tuple[int, int, int] | None]) -> None:
    """None: the first is taken."""
    seen = []
    for module in (loaded("heaps"), heaps):
        heap, found = module.EventHeap(), []
        for number, event in enumerate(steps):
            if event is not None:
                module.push_event(heap, (*event, number, print, [number]))
            else:
                try:
                    found.append(module.pop_event(heap))
                except IndexError as error:
                    found.append(error.args)
            found.append((len(heap), bool(heap)))
        while heap:
            found.append(module.pop_event(heap))
        seen.append(found)
    assert seen[0] == seen[1]


@pytest.mark.parametrize("made", [True, False], ids=["c", "python"])
def test_places_of_a_schedule_fit_and_a_link_is_first(made: bool) -> None:
    """In the compiled build a number has 64 bits."""

    class Farthest:
        def order(self, kind: int, owner: int, to: int, at_ns: int) -> int:
            return MOST_PLACE if kind == LINK else -MOST_PLACE

    queue = ScheduledQueue(cast(Any, Farthest()))
    module = loaded("heaps") if made else heaps
    queue._heap, done = module.EventHeap(), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schedule, "push_event", module.push_event)
        for kind in (GROUP_WAKE, MESSAGES, LINK):
            queue.add(5, kind, 0, 0, print, (0, kind))
    while queue._heap:
        done.append(module.pop_event(queue._heap)[-1][1])
    assert done == [LINK, MESSAGES, GROUP_WAKE]


def test_many_events() -> None:
    draw = random.Random(1)
    made = loaded("heaps")
    heap = made.EventHeap()
    times = [draw.randrange(1000) for _ in range(5000)]
    for number, at_ns in enumerate(times):
        made.push_event(heap, (at_ns, 0, 0, number, print, number))
    found = [made.pop_event(heap) for _ in times]
    assert [(one[0], one[-1]) for one in found] == sorted(
        (at_ns, number) for number, at_ns in enumerate(times)
    )


def test_an_event_that_is_too_late_for_any_run_is_the_last() -> None:
    made = loaded("heaps")
    heap = made.EventHeap()
    made.push_event(heap, (1 << 90, 0, 0, 0, print, "late"))
    made.push_event(heap, ((1 << 63) - 2, 0, 0, 0, print, "early"))
    assert made.pop_event(heap)[-1] == "early"
    at_ns, *_, what = made.pop_event(heap)
    assert at_ns > LAST_NS
    assert what == "late"


@pytest.mark.parametrize("told", [(), (1, 2, 3, 4, 5), (1, 2, 3, "4", 5, 6), (1, 2, None, 4, 5, 6)])
def test_what_is_no_event_is_refused(told: tuple[Any, ...]) -> None:
    made = loaded("heaps")
    heap = made.EventHeap()
    with pytest.raises(TypeError):
        made.push_event(heap, told)
    with pytest.raises(TypeError):
        made.push_event([], (1, 0, 0, 0, print, None))
    with pytest.raises(TypeError):
        made.pop_event([])
    with pytest.raises(OverflowError):
        made.push_event(heap, (1, 1 << 70, 0, 0, print, None))
    assert len(heap) == 0
    with pytest.raises(IndexError):
        made.pop_event(heap)


def test_a_heap_of_events_begins_empty() -> None:
    for module in (loaded("heaps"), heaps):
        for told, named in (((5,), {}), ((1, 2), {}), ((), {"size": 5})):
            with pytest.raises(TypeError):
                module.EventHeap(*told, **named)
        assert len(module.EventHeap()) == 0


class Argument:
    """One that can be watched."""


def test_events_hold_what_they_are_about_and_nothing_else() -> None:
    made = loaded("heaps")
    kind, push = made.EventHeap, made.push_event
    one = Argument()
    seen = weakref.ref(one)
    heap = kind()
    push(heap, (1, 0, 0, 0, print, one))
    del one
    assert seen() is not None
    found = made.pop_event(heap)
    assert len(heap) == 0
    del found
    assert seen() is None, "it has left"
    for let_go in (kind.clear, lambda heap: None):
        one, heap = Argument(), kind()
        seen = weakref.ref(one)
        push(heap, (1, 0, 0, 0, print, one))
        del one
        let_go(heap)
        del heap
        assert seen() is None
    one, heap = Argument(), kind()
    one.heap = heap  # type: ignore[attr-defined]
    seen = weakref.ref(one)
    push(heap, (1, 0, 0, 0, print, one))
    del one, heap
    gc.collect()
    assert seen() is None, "a circle"
