"""Loops of compiled code over lists and tuples (`objects.h`), asked of `remembers.c`: each has what
it has in Python. That they, and what `lookups.h` finds, are done here and not by Python is counted.
And headers with a mistake planted, each of which one of these checks finds."""

from __future__ import annotations

import faulthandler
import gc
import os
import resource
import shutil
import signal
import sys
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.compiled.conftest import LAUNCH, imported, made_in
from tests.compiled.test_calls import needs_compiler

END = object()

needs_3_11 = pytest.mark.skipif(sys.version_info >= (3, 12), reason="done in Python 3.11 alone")


class Thing:
    """One that can be watched."""


def walked(
    start: Callable[[list[int]], Any], step: Callable[[Any], Any], change: str
) -> list[object]:
    """What a loop has whose list changes after the second item."""
    of = [*range(6)]
    loop, seen = start(of), []
    for number in range(30):
        item = step(loop)
        seen.append(None if item is END else item)
        if number == 1:
            {
                "grows": lambda: of.extend(range(90, 95)),
                "shrinks": lambda: of.__delitem__(slice(3, None)),
                "is cleared": of.clear,
                "begins anew": lambda: of.insert(0, 7),
                "stays": lambda: None,
            }[change]()
        if item is END:
            of.append(99)  # a loop that has ended does not go on
    return seen


def check_that_lists_may_change(remembers: Any) -> None:
    for change in ("grows", "shrinks", "is cleared", "begins anew", "stays"):
        found = walked(remembers.iter_of, lambda loop: remembers.next_of(loop, END), change)
        assert found == walked(iter, lambda loop: next(loop, END), change), change
        assert walked(remembers.iter_of, lambda loop: next(loop, END), change) == found


def check_loops_in_loops(remembers: Any) -> None:
    """More at once than wait to be used again."""
    for _ in range(3):
        given: list[Any] = [made(range(n, n + 5)) for n in range(12) for made in (list, tuple)]
        loops = [remembers.iter_of(of) for of in given]
        assert len({id(loop) for loop in loops}) == len(given)
        turns = [[remembers.next_of(loop, END) for loop in loops] for _ in range(6)]
        in_order = [list(turn) for turn in zip(*given, strict=True)]
        assert turns == [*in_order, [END] * len(given)]
        del loops[::2]
        given = [[1, 2], (3,), []]
        assert [remembers.all_of(remembers.iter_of(of)) for of in given] == [[1, 2], [3], []]


def check_who_has_what(remembers: Any) -> None:
    """A loop has its list as long as it goes on, and an item for whoever takes it."""
    for made in (list, tuple):
        things = [Thing() for _ in range(3)]
        of: Any = made(things)
        alone, each = sys.getrefcount(of), sys.getrefcount(things[0])
        loop = remembers.iter_of(of)
        assert sys.getrefcount(of) == alone + 1
        item = remembers.next_of(loop, END)
        assert sys.getrefcount(item) == each + 1
        assert item is things[0]
        del item, loop
        assert sys.getrefcount(of) == alone, "dropped in the middle"
        loop = remembers.iter_of(of)
        while remembers.next_of(loop, END) is not END:
            pass
        assert sys.getrefcount(of) == alone, "it has ended"
        del loop
        assert (sys.getrefcount(of), sys.getrefcount(things[0])) == (alone, each)
        seen = weakref.ref(things[0])
        loop = remembers.iter_of(of)
        del of, things
        assert seen() is not None
        del loop
        assert seen() is None, "nobody else had the list"


def check_circles(remembers: Any) -> None:
    """A loop in what it goes through, and one that was used before."""
    gc.collect()
    for made in (list, tuple):
        for many in (1, 5, 30):
            seen = []
            for _ in range(many):
                thing = Thing()
                thing.loop = remembers.iter_of(made([thing]))  # type: ignore[attr-defined]
                seen.append(weakref.ref(thing))
                del thing
            assert all(one() is not None for one in seen)
            gc.collect()
            assert all(one() is None for one in seen)
            assert remembers.all_of(remembers.iter_of(made([1, 2]))) == [1, 2]


def check_collections_meanwhile(remembers: Any) -> None:
    """Of those that wait, and of those that somebody goes through; loops where things end."""

    class Ends:
        def __init__(self) -> None:
            self.loop = remembers.iter_of([self])

        def __del__(self) -> None:
            kept.append(remembers.iter_of([1, 2, 3]))
            found.append(remembers.all_of(remembers.iter_of((4, 5))))

    kept: list[Any] = []
    found: list[list[int]] = []
    going = [remembers.iter_of([*range(5)]) for _ in range(20)]
    for turn in range(5):
        assert [remembers.next_of(loop, END) for loop in going] == [turn] * 20
        for _ in range(20):
            Ends()
        gc.collect()
        everything = gc.get_objects()
        assert remembers.all_of(remembers.iter_of((turn,))) == [turn]
        del everything
    assert [remembers.all_of(loop) for loop in kept] == [[1, 2, 3]] * 100
    assert found == [[4, 5]] * 100


def check_what_ends_with_a_loop(remembers: Any) -> None:
    """It may collect, and begin as many loops as it likes."""

    class Ends:
        def __del__(self) -> None:
            loops = [remembers.iter_of([number]) for number in range(12)]
            gc.collect()
            found.append([remembers.all_of(loop) for loop in loops])

    found: list[Any] = []
    for _ in range(3):
        loops = [remembers.iter_of([Ends()]) for _ in range(12)]
        del loops
    assert found == [[[number] for number in range(12)]] * 36


def check_what_is_done_here(remembers: Any) -> None:
    """Not by Python, which would have the same results."""
    kept = {number: str(number) for number in range(100)}
    words = {"a": 1, 2: "not words alone"}

    def look() -> None:
        for number in range(0, 200, 2):
            remembers.item_or(kept, number, None)
            remembers.contains(kept, number)
        remembers.item(kept, 2)
        remembers.item(words, "a")

    def make_tuples() -> None:
        remembers.let_go([remembers.filled(1, 2, 3, 4, 5)])

    def make_lists() -> None:
        remembers.let_go([remembers.listed(1, 2)])

    def loop() -> None:
        for _ in range(100):
            remembers.all_of(remembers.iter_of((1, 2)))

    def counted(what: Callable[[], None], times: int) -> dict[str, int]:
        what()  # before, there may be none that waits
        before = remembers.hits()
        for _ in range(times):
            what()
        after = remembers.hits()
        return {kind: after[kind] - before[kind] for kind in before if after[kind] > before[kind]}

    assert counted(look, 1) == {"lookup": 202}
    assert counted(make_tuples, 100) == {"tuple": 100, "back": 100}
    assert counted(make_lists, 100) == {"list": 100, "back": 100}
    found = counted(loop, 1)
    assert found["items"] == 100
    assert found["list"] >= 90, "what all_of returns, which Python drops"


CHECKS = (
    check_that_lists_may_change,
    check_loops_in_loops,
    check_who_has_what,
    check_circles,
    check_collections_meanwhile,
    check_what_ends_with_a_loop,
)


@needs_compiler
@pytest.mark.parametrize("check", CHECKS)
def test_a_loop_is_as_in_python(check: Callable[[Any], None], remembers: Any) -> None:
    check(remembers)


@needs_compiler
@needs_3_11
def test_what_is_thought_to_be_done_here_is(remembers: Any) -> None:
    check_what_is_done_here(remembers)


@needs_compiler
def test_a_loop_over_anything_else_is_pythons(remembers: Any) -> None:
    class Own(list[int]):
        def __iter__(self) -> Iterator[int]:
            return iter((8, 9))

    assert remembers.all_of(remembers.iter_of(Own([1]))) == [8, 9]
    assert remembers.all_of(remembers.iter_of({1: 2})) == [1]
    loop = remembers.iter_of([1, 2])
    assert iter(loop) is loop
    assert remembers.iter_of(loop) is loop
    with pytest.raises(TypeError, match="'int' object is not iterable"):
        remembers.iter_of(5)


PLANTED = (
    ("objects.h", "adpkv_keeper_tries = 20;", "adpkv_keeper_tries = 0;"),
    ("lookups.h", "if (hash == -1)", "if (1)"),
    ("objects.h", "items->at = 0;", "items->at = 1;"),
    ("objects.h", "items->of = Py_NewRef(of);", "items->of = of;"),
    ("objects.h", "items->of = NULL;\n    Py_DECREF(of);", "Py_DECREF(of);"),
    ("objects.h", "Py_XDECREF(of); /* last", "(void)of; /* last"),
    ("objects.h", "if (items->at < Py_SIZE(of))", "if (items->at <= Py_SIZE(of))"),
    ("objects.h", "return Py_NewRef(all[items->at++]);", "return all[items->at++];"),
    ("objects.h", "adpkv_idle_items[--adpkv_idle];", "adpkv_idle_items[0];"),
    ("objects.h", "Py_VISIT(((adpkv_items_t *)iterator)->of);", ""),
    ("objects.h", "Py_SET_REFCNT(items, 1);", ""),
    ("objects.h", "if (adpkv_idle > 0) {", "if (adpkv_idle > 99) {"),
    ("objects.h", "if (adpkv_idle < ADPKV_MOST_ITEMS)", "if (adpkv_idle < 0)"),
)


def code_of(made: Path) -> int:
    """How a process ends that checks this: it may crash, or never end by itself."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            faulthandler.disable()
            signal.alarm(20)
            gc.freeze()  # what others have left is not collected again and again
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            remembers = imported(made)
            for check in (*CHECKS, check_what_is_done_here):
                check(remembers)
            code = 0
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1]


@needs_compiler
@needs_3_11
def test_headers_without_a_mistake_have_none(tmp_path: Path) -> None:
    assert code_of(made_in(tmp_path)) == 0


@needs_compiler
@needs_3_11
@pytest.mark.parametrize(("header", "right", "wrong"), PLANTED)
def test_a_mistake_is_found(header: str, right: str, wrong: str, tmp_path: Path) -> None:
    headers = tmp_path / "headers"
    headers.mkdir()
    for name in LAUNCH.glob("*.h"):
        shutil.copy(name, headers)
    text = (headers / header).read_text("utf-8")
    assert text.count(right) == 1
    (headers / header).write_text(text.replace(right, wrong), "utf-8")
    assert code_of(made_in(tmp_path, headers, "-w")) != 0, "no check has noticed"


@needs_compiler
@pytest.mark.parametrize("without", ["PyTuple_MAXSAVESIZE=0", "PyList_MAXFREELIST=0"])
def test_a_python_that_keeps_none_is_built_for_too(without: str, tmp_path: Path) -> None:
    """Nothing of it is run: that needs such a Python."""
    made_in(tmp_path, LAUNCH, f"-D{without}")
