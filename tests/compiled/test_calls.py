"""What compiled code does in the place of Python's functions (`boxes.h`, `calls.h`), asked of
`remembers.c`: numbers, calls, lists and truth are as Python has them."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from typing import Any

import pytest

from tests.compiled.in_c import ROOT

sys.path.insert(0, str(ROOT / "launch"))

from compiled_build import lacks

needs_compiler = pytest.mark.skipif(bool(lacks()), reason=lacks() or "-")


@needs_compiler
def test_a_number_is_made_as_python_makes_it(remembers: Any) -> None:
    edges = (0, 1, 5, 6, 256, 257, 1 << 29, 1 << 30, 1 << 31, 1 << 59, 1 << 60, 1 << 61)
    numbers = [sign * (edge + step) for edge in edges for step in (-1, 0, 1) for sign in (-1, 1)]
    for number in [*numbers, (1 << 62) - 1, -(1 << 62)]:
        made = remembers.box(number)
        assert type(made) is int
        assert (made, hash(made), made.bit_length(), repr(made)) == (
            number, hash(number), number.bit_length(), repr(number),
        )  # fmt: skip
        assert made + 1 == number + 1
        assert sys.getsizeof(made) == sys.getsizeof(number + 0)
    assert remembers.box(256) is remembers.box(256), "one that Python has ready"


@needs_compiler
def test_a_number_is_read_as_python_has_it(remembers: Any) -> None:
    edges = (0, 1, 1 << 29, 1 << 30, 1 << 31, 1 << 59, 1 << 60, 1 << 61, 1 << 62, 1 << 63, 1 << 90)
    for number in {
        sign * (edge + step) for edge in edges for step in (-1, 0, 1) for sign in (-1, 1)
    }:
        assert remembers.unbox(number) == (number, number)


@needs_compiler
def test_a_function_is_called_as_python_calls_it(remembers: Any) -> None:
    class Seen:
        def both(self, first: int, *rest: int, **named: int) -> tuple[object, ...]:
            return (type(self), first, rest, named)

    found: list[int] = []
    pairs: list[tuple[Any, tuple[Any, ...]]] = [
        (found.append, (1,)),  # one argument
        (found.copy, ()),  # none
        (found.insert, (0, 5)),  # several
        (found.sort, ()),  # with names
        (found.index, (5,)),
        (len, (found,)),
        (max, (1, 2)),  # in a tuple
        (Seen().both, (1, 2)),
        (Seen, ()),
        (int, ("7",)),
        ("{}{}".format, (1, 2)),
        (dict.fromkeys, ("ab",)),
        (bytes.maketrans, (b"a", b"b")),  # static
        (lambda *told: told, (1, 2)),
    ]
    for whom, told in pairs:
        expected = Seen if whom is Seen else whom(*told) if whom != found.append else None
        made = remembers.apply(whom, *told)
        assert (type(made) if whom is Seen else made) == expected
    assert found == [1, 5, 5], "each was called twice"
    assert remembers.apply_named(found.sort, ("reverse",), True) is None
    assert remembers.apply_named(sorted, ("key", "reverse"), [1, -3, 2], abs, True) == [-3, 2, 1]
    assert remembers.apply_named(Seen().both, ("b",), 1, 2)[1:] == (1, (), {"b": 2})


@needs_compiler
def test_a_call_with_wrong_arguments_fails_as_in_python(remembers: Any) -> None:
    for whom, told in (
        *[([].append, told) for told in ((), (1, 2))],
        ([].copy, (1,)),
        ([].insert, (1,)),
        (len, ()),
        (len, (1,)),
        (5, ()),
    ):
        with pytest.raises(TypeError) as right:
            whom(*told)  # type: ignore[operator]
        with pytest.raises(TypeError) as ours:
            remembers.apply(whom, *told)
        assert str(ours.value) == str(right.value)
    for named in ([].append, [].copy, [].insert):
        with pytest.raises(TypeError, match="keyword"):
            remembers.apply_named(named, ("x",), 1)


@needs_compiler
def test_another_types_method_is_refused(remembers: Any) -> None:
    class Wrong:
        __slots__ = ()
        append = list.append

    for _ in range(3):
        with pytest.raises(TypeError, match="apply to a 'Wrong' object"):
            remembers.call("append", Wrong(), 1)


@needs_compiler
def test_a_list_grows_and_truth_is_asked_for(remembers: Any) -> None:
    class Own(list[int]):
        pass

    class Odd:
        def __bool__(self) -> bool:
            raise ValueError("neither")

    for kept in ([], Own()):
        for number in range(1000):
            remembers.append(kept, number)
        assert kept == list(range(1000))
    with pytest.raises(SystemError):
        remembers.append((), 1)
    for thing in (True, False, None, 0, 1, [], [0], "", 0.0, object()):
        assert remembers.truth(thing) is bool(thing)
    with pytest.raises(ValueError, match="neither"):
        remembers.truth(Odd())


@needs_compiler
def test_the_least_and_the_most_of_a_list_are_those_of_python(remembers: Any) -> None:
    lists: list[list[Any]] = [
        [3, 1, 2],
        [1 << 40, 1 << 62, -(1 << 62), 5],
        [1 << 29, 1 << 30, 1 << 59, 1 << 60, 1 << 63, -(1 << 63), -(1 << 90), 1 << 90],
        [-5, -(1 << 31), 0],
        [7],
        [2, 1.5, 3],
        [True, 0, 2],
        [(1, 2), (0, 3)],
        ["b", "a"],
    ]
    for whom in (min, max):
        for given in lists:
            assert remembers.apply(whom, given) == whom(given)
            assert remembers.apply_named(whom, ("default",), given, 9) == whom(given, default=9)
            for key in (None, lambda thing: str(thing)):
                assert remembers.apply_named(whom, ("key",), given, key) == whom(given, key=key)
        same = [1000 + number for number in (1, 0, 0, 1)]
        first = whom(same)
        assert remembers.apply(whom, same) is first, "of several that are equal the first"
        assert remembers.apply(whom, 3, 1 << 70) == whom(3, 1 << 70)
        assert remembers.apply_named(whom, ("default",), [], 9) == 9
        with pytest.raises(ValueError, match="empty"):
            remembers.apply(whom, [])
        with pytest.raises(TypeError):
            remembers.apply(whom, [1, "a"])
        with pytest.raises(TypeError, match="keyword"):
            remembers.apply_named(whom, ("odd",), [1], 2)


@needs_compiler
def test_a_number_that_is_made_again_may_be_the_same_object(remembers: Any) -> None:
    numbers = [sign * ((1 << 40) + step) for step in range(500) for sign in (1, -1)]
    for _ in range(3):
        assert [remembers.box(number) for number in numbers] == numbers
    kept = [sys.getrefcount(remembers.box(number)) for number in numbers]
    assert max(kept) <= 3


BOXES = """
#include <Python.h>
#undef SIZEOF_VOID_P
#define SIZEOF_VOID_P {size}
#define CPY_INT_TAG 1
#include "boxes.h"
"""


@needs_compiler
@pytest.mark.skipif(sys.version_info >= (3, 12), reason="numbers look otherwise")
@pytest.mark.skipif(sys.int_info.bits_per_digit != 30, reason="digits of 15 bits")
def test_numbers_are_left_to_mypyc_where_two_digits_do_not_fit_into_a_word() -> None:
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()
    include = [f"-I{ROOT / 'launch'}", f"-I{sysconfig.get_path('include')}"]
    for size, ours in ((4, False), (8, True)):
        done = subprocess.run(
            [*compiler, *include, "-E", "-x", "c", "-"],
            input=BOXES.format(size=size), check=True, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert ("adpkv_box" in done.stdout) == ours
