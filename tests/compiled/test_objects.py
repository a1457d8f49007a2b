"""What compiled code does with dictionaries, tuples, iterators and the ends of objects in Python's
place (`lookups.h`, `objects.h`), asked of `remembers.c`: all is as Python has it."""

from __future__ import annotations

import gc
import random
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest

from tests.compiled.test_calls import needs_compiler

NOTHING = object()
HASH_AGAIN = (1 << 61) - 1
"""What this is added to has the same hash."""


def found_in(remembers: Any, kept: dict[Any, Any], key: Any) -> None:
    """A key is found, or is not, as Python finds it."""
    assert remembers.item_or(kept, key, NOTHING) is kept.get(key, NOTHING)
    assert remembers.contains(kept, key) is (key in kept)
    if key in kept:
        assert remembers.item(kept, key) is kept[key]
    else:
        with pytest.raises(KeyError) as raised:
            remembers.item(kept, key)
        assert raised.value.args == (key,)


@needs_compiler
def test_a_dictionary_has_what_it_has_after_any_changes(remembers: Any) -> None:
    edges = [0, 1, -1, -2, 255, 256, 1 << 29, 1 << 30, 1 << 59, 1 << 60, 1 << 61, 1 << 64]
    far = [edge + step for edge in edges for step in (-1, 0, 1, HASH_AGAIN)]
    for seed in range(30):
        draw = random.Random(seed)
        keys = [*far, *(draw.randrange(1 << draw.choice((4, 8, 20, 40))) for _ in range(200))]
        kept: dict[int, str] = {}
        for _ in range(draw.choice((5, 300, 2000))):
            key = draw.choice(keys) * 1
            if draw.random() < 0.6:
                kept[key] = str(key)
            else:
                kept.pop(key, None)
        for key in keys:
            found_in(remembers, kept, int(str(key)))
    assert len({len(str(key)) for key in far}) > 5


@needs_compiler
def test_a_large_dictionary_has_wide_places(remembers: Any) -> None:
    kept = {number * 3: number for number in range(70_000)}
    for key in (0, 3, 4, 209_997, 210_000, 1 << 40):
        found_in(remembers, kept, key)


@needs_compiler
def test_a_key_of_another_kind_is_found_by_python(remembers: Any) -> None:
    class Equal:
        def __hash__(self) -> int:
            return 7

        def __eq__(self, other: object) -> bool:
            return other == 7

    class Own(int):
        pass

    class Fails:
        def __hash__(self) -> int:
            return 7

        def __eq__(self, other: object) -> bool:
            raise ValueError("do not ask")

    for kept in (
        {},
        {"a": 1},
        {7.0: "float"},
        {Equal(): "equal"},
        {Own(7): "own"},
        {True: "true"},
        {HASH_AGAIN + 7: "another of the same hash"},
        {HASH_AGAIN + 7: "another", 7: "seven"},
        type("Made", (), {"seven": 7})().__dict__,
    ):
        for key in (7, 1, Own(7), 7.0, "a", "seven", True, -2, -1):
            found_in(remembers, kept, key)
    with pytest.raises(ValueError, match="do not ask"):
        remembers.item({Fails(): 1}, 7)
    with pytest.raises(TypeError, match="unhashable"):
        remembers.contains({}, [])
    assert remembers.item(defaultdict(lambda: "new"), 7) == "new"


@needs_compiler
def test_a_tuple_is_new_and_the_collector_knows_it(remembers: Any) -> None:
    for size in (0, 1, 2, 7, 19, 20, 21, 100):
        for _ in range(50):
            given = [object() for _ in range(size)]
            made = remembers.filled(*given)
            assert type(made) is tuple
            assert made == tuple(given)
            assert gc.is_tracked(made) is (size > 0)
            kept = [remembers.filled(*given) for _ in range(3)]
            assert len({id(one) for one in kept}) == (3 if size else 1)


@needs_compiler
def test_a_list_is_new_and_grows(remembers: Any) -> None:
    for size in (0, 1, 2, 50, 1000):
        kept = [remembers.listed(*range(size)) for _ in range(200)]
        for made in kept:
            assert made == list(range(size))
            assert gc.is_tracked(made)
            made.append(size)
            made.extend(range(3))
        assert all(made == [*range(size + 1), 0, 1, 2] for made in kept)


@needs_compiler
def test_what_ends_takes_along_what_only_it_had(remembers: Any) -> None:
    class Seen:
        alive = 0

        def __init__(self) -> None:
            Seen.alive += 1

        def __del__(self) -> None:
            Seen.alive -= 1

    for made_of in (remembers.filled, remembers.listed):
        for many in (1, 5, 300):  # more than Python keeps of lists
            for size in (0, 1, 7, 19, 20, 40):
                things = [made_of(*[Seen() for _ in range(size)]) for _ in range(many)]
                assert Seen.alive == many * size
                remembers.let_go(things)
                assert Seen.alive == 0
                again = [made_of(*range(size)) for _ in range(many)]
                assert all(list(one) == list(range(size)) for one in again)
    gc.collect()
    deep: Any = ()
    for _ in range(100_000):
        deep = remembers.filled(remembers.listed(deep))
    holder, deep = [deep], None
    remembers.let_go(holder)
    assert holder == [None]


@needs_compiler
def test_a_circle_of_tuples_is_collected(remembers: Any) -> None:
    class Ends:
        gone = 0

        def __del__(self) -> None:
            Ends.gone += 1

    gc.collect()
    for _ in range(100):
        around: list[Any] = []
        around.append(remembers.filled(Ends(), around))
    del around
    gc.collect()
    assert Ends.gone == 100


@needs_compiler
def test_an_iterator_ends_and_fails_as_in_python(remembers: Any) -> None:
    def fails() -> Iterator[int]:
        yield 1
        raise ValueError("in the middle")

    class Stops:
        def __iter__(self) -> Stops:
            return self

        def __next__(self) -> int:
            raise StopIteration("with a value")

    assert remembers.all_of(iter([1, 2])) == [1, 2]
    assert remembers.all_of(iter(range(3))) == [0, 1, 2]
    assert remembers.all_of(iter({"a": 1}.items())) == [("a", 1)]
    assert remembers.all_of(Stops()) == []
    with pytest.raises(ValueError, match="middle"):
        remembers.all_of(fails())


@needs_compiler
def test_a_long_chain_ends_without_a_deep_stack(remembers: Any) -> None:
    for many in (1, 30, 100, 1_000_000):
        assert remembers.chain(many) == many


@needs_compiler
def test_a_number_that_somebody_has_stays_what_it_is(remembers: Any) -> None:
    draw = random.Random(3)
    numbers = [draw.randrange(257, 1 << 58) * draw.choice((1, -1)) for _ in range(5000)]
    kept = []
    for at, number in enumerate(numbers):
        made = remembers.box(number)
        if at % 3 == 0:
            kept.append((number, made))
    assert all(number == made for number, made in kept)
