"""How the compiled build is made: what compiled code remembers, and which compiler is what."""

from __future__ import annotations

import enum
import functools
import os
import re
import subprocess
import sys
import sysconfig
from collections import deque
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

ROOT = Path(__file__).parents[2]
LAUNCH = ROOT / "launch"
sys.path.insert(0, str(LAUNCH))

import compiling  # noqa: E402
from compiled_build import lacks  # noqa: E402
from compiling import is_remembering, keeps_profiles, remembering, train  # noqa: E402

needs_compiler = pytest.mark.skipif(bool(lacks()), reason=lacks() or "-")


class One(msgspec.Struct):
    a: int = 1
    b: str = "b"


class Other(msgspec.Struct, frozen=True, array_like=True):
    x: int = 5
    a: int = 7


@needs_compiler
def test_a_field_is_the_things_own_whatever_was_asked_before(remembers: Any) -> None:
    one, plain = One(), type("Plain", (), {"a": 3})()
    for thing in (one, one, Other(), Other(a=9), plain, one, 4 + 2j, Other()):
        for name in ("a", "real"):
            if hasattr(thing, name):
                assert remembers.field(thing, name) == getattr(thing, name)
            else:
                with pytest.raises(AttributeError, match=name):
                    remembers.field(thing, name)
    plain.a = "its own"
    assert remembers.field(plain, "a") == "its own"


@needs_compiler
def test_a_field_that_was_taken_away_or_replaced_is_not_there_any_more(remembers: Any) -> None:
    class Slotted:
        __slots__ = ("a",)

    thing = Slotted()
    for value in (1, 2):
        thing.a = value
        assert remembers.field(thing, "a") == value
    del thing.a
    with pytest.raises(AttributeError, match="a"):
        remembers.field(thing, "a")
    thing.a = 3
    assert remembers.field(thing, "a") == 3
    Slotted.a = property(lambda self: "another")  # type: ignore[assignment]
    assert remembers.field(thing, "a") == "another"


@needs_compiler
def test_a_place_that_meets_two_types_in_turns_remembers_both(remembers: Any) -> None:
    class Kind(enum.StrEnum):
        BIG = "big"
        SMALL = "small"

    Kind.BIG.is_large = True  # type: ignore[attr-defined]
    Kind.SMALL.is_large = False  # type: ignore[attr-defined]
    two, before = (One(a=5), Other(a=6)), remembers.hits()["field"]
    for turn in range(200):
        assert remembers.in_turns(two[turn % 2], "a") == 5 + turn % 2
    assert remembers.hits()["field"] >= before + 196
    for turn in range(200):  # what an enum's member has of its own
        member = (Kind.BIG, Kind.SMALL)[turn % 2]
        assert remembers.in_turns(member, "is_large") is (turn % 2 == 0)
    assert remembers.hits()["field"] >= before + 392
    del Kind.BIG.is_large  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match="is_large"):
        remembers.in_turns(Kind.BIG, "is_large")


@needs_compiler
def test_a_value_of_its_own_is_asked_for_where_it_is_now(remembers: Any) -> None:
    class Plain:
        a = "the class's"

        def __init__(self, *names: str) -> None:
            for name in names:
                setattr(self, name, f"its own {name}")

    things = [Plain("b"), Plain("a"), Plain("b", "a"), Plain()]
    for thing in [*things, *things]:
        assert remembers.own(thing, "a") == thing.a
    things[1].a = "another"
    assert remembers.own(things[1], "a") == "another"
    things[1].__dict__["a"] = "by its dictionary"
    assert remembers.own(things[1], "a") == "by its dictionary"
    things[2].__dict__ = {"a": "of another dictionary"}
    assert remembers.own(things[2], "a") == "of another dictionary"
    Plain.a = property(lambda self: "before all")  # type: ignore[assignment]
    for thing in things:
        assert remembers.own(thing, "a") == "before all"


@needs_compiler
def test_a_property_and_what_c_computes_are_asked_each_time(remembers: Any) -> None:
    class Counting:
        __slots__ = ("asked",)

        @property
        def next(self) -> int:
            self.asked += 1
            return self.asked

    thing = Counting()
    thing.asked = 0
    assert [remembers.field(thing, "next") for _ in range(3)] == [1, 2, 3]
    assert [remembers.field(number, "imag") for number in (1 + 2j, 3 + 4j)] == [2.0, 4.0]


@needs_compiler
def test_a_method_is_that_of_the_thing_at_hand(remembers: Any) -> None:
    first, second, third = deque([1]), [1], deque([1])
    for thing in (first, first, second, third, first):
        assert remembers.call("append", thing, 2) is None
    assert [list(one) for one in (first, second, third)] == [[1, 2, 2, 2], [1, 2], [1, 2]]
    with pytest.raises(AttributeError, match="append"):
        remembers.call("append", (1,), 2)
    with pytest.raises(TypeError):
        remembers.call("append", first)


@needs_compiler
def test_a_method_that_is_replaced_is_the_new_one(remembers: Any) -> None:
    class Slotted:
        __slots__ = ()

        def told(self) -> str:
            return "before"

    class Open(Slotted):
        pass

    thing, other = Slotted(), Open()
    before = remembers.hits()["method"]
    assert [remembers.call("told", one) for one in (other, *[thing] * 3)] == ["before"] * 4
    assert remembers.hits()["method"] > before, "there is something to be forgotten"
    Slotted.told = lambda self: "after"  # type: ignore[method-assign]
    assert [remembers.call("told", one) for one in (thing, *[other] * 3)] == ["after"] * 4
    other.told = lambda: "its own"  # type: ignore[method-assign]
    assert [remembers.call("told", one) for one in (other, thing)] == ["its own", "after"]


@needs_compiler
def test_a_method_may_be_taken_away_while_it_runs(remembers: Any) -> None:
    class Slotted:
        __slots__ = ()

    def give() -> None:
        def told(self: Slotted, last: bool) -> str:
            if last:
                del Slotted.told  # type: ignore[attr-defined]
            return "done"

        # Nobody but the class has it; and what `cache` makes is needed until its call has ended.
        Slotted.told = functools.cache(told)  # type: ignore[attr-defined]

    thing = Slotted()
    for _ in range(3):
        give()
        before = remembers.hits()["method"]
        for last in (False, False, False, True):
            assert remembers.call("told", thing, last) == "done"
        assert remembers.hits()["method"] > before
        with pytest.raises(AttributeError, match="told"):
            remembers.call("told", thing, False)


@needs_compiler
def test_a_name_of_a_module_is_what_it_is_now(remembers: Any) -> None:
    names: dict[str, object] = {"a": 1}
    key = "a"
    assert [remembers.name(names, key) for _ in range(2)] == [1, 1]
    names["b"] = 2
    names["a"] = "another"
    assert remembers.name(names, key) == "another"
    del names["a"]
    with pytest.raises(KeyError):
        remembers.name(names, key)
    assert remembers.name({"a": "of another module"}, key) == "of another module"


@needs_compiler
def test_a_field_of_a_module_is_what_it_is_now(remembers: Any) -> None:
    module, other = ModuleType("module"), ModuleType("other")
    one = One(a="of a structure")  # type: ignore[arg-type]
    before = remembers.hits()["field"]
    module.a, other.a = 1, "of another module"
    for thing in (module, module, one, module, other, module, one, one, other, other):
        assert remembers.field(thing, "a") == thing.a
    kept = remembers.hits()["field"] - before
    assert kept == 6 if sys.version_info < (3, 12) else kept >= 1
    for value in (2, 2, 3):
        module.a = value
        assert [remembers.field(module, "a") for _ in range(2)] == [value] * 2
    del module.a
    for _ in range(2):
        with pytest.raises(AttributeError, match="a"):
            remembers.field(module, "a")
    module.__getattr__ = lambda name: f"made for {name}"  # type: ignore[method-assign]
    assert [remembers.field(module, "a") for _ in range(2)] == ["made for a"] * 2
    assert remembers.field(module, "__dict__") is vars(module)
    module.__dict__["__class__"] = "a name like any other"
    assert [remembers.field(module, "__class__") for _ in range(2)] == [ModuleType] * 2

    class Own(ModuleType):
        a = property(lambda self: "of its class")

    module.a = 5
    assert [remembers.field(module, "a") for _ in range(2)] == [5] * 2
    module.__class__ = Own
    assert [remembers.field(module, "a") for _ in range(2)] == ["of its class"] * 2


@needs_compiler
def test_what_is_asked_again_is_remembered(remembers: Any) -> None:
    before = remembers.hits()
    one, queue, names = One(), deque[int](), {"a": 1}
    for number in range(9):
        assert remembers.field(one, "a") == 1
        assert remembers.call("append", queue, number) is None
        assert remembers.name(names, "a") == 1
    hits = {kind: count - before[kind] for kind, count in remembers.hits().items()}
    # The first finds it; of a method the second may, where the type had no version yet.
    assert hits["field"] >= 8
    assert hits["method"] >= 7
    assert hits["name"] == (8 if sys.version_info < (3, 12) else 0)


@needs_compiler
def test_what_meets_many_types_goes_on_to_find_them(remembers: Any) -> None:
    hits = []
    for number in range(200):
        thing = msgspec.defstruct(f"S{number}", [("a", int), ("z", int)])(number, -1)
        before = remembers.hits()["field"]
        assert [remembers.another_field(thing, "a") for _ in range(2)] == [number] * 2
        hits.append(remembers.hits()["field"] - before)
    assert hits == [1] * 64 + [0] * 136


def test_names_of_modules_are_remembered_and_other_dictionaries_are_not() -> None:
    asked = (
        "    cpy_r_r6 = CPyStatic_event_queue___globals;\n"
        "    cpy_r_r7 = CPyStatics[513]; /* 'heappush' */\n"
        "    cpy_r_r8 = CPyDict_GetItem(cpy_r_r6, cpy_r_r7);\n"
    )
    assert remembering(asked) == asked.replace("CPyDict_GetItem", "ADPKV_GLOBAL")
    other = asked.replace("CPyStatic_event_queue___globals", "cpy_r_self")
    assert remembering(other) == other
    computed = asked.replace("(cpy_r_r6, cpy_r_r7)", "(cpy_r_r6, cpy_r_r9)")
    assert remembering(computed) == computed
    header = "#include <Python.h>\n#include <CPy.h>\n"
    included = "".join(f'#include "{name}"\n' for name in compiling.HEADERS)
    assert remembering(header) == header + included
    assert all((LAUNCH / name).is_file() for name in compiling.HEADERS)


def test_whether_anything_is_remembered_is_known() -> None:
    header, name = '#include "inline_cache.h"', "ADPKV_GLOBAL(cpy_r_r6, cpy_r_r7)"
    assert is_remembering([header, name])
    assert not is_remembering([header])
    assert not is_remembering([name])
    assert not is_remembering([])


@pytest.mark.slow
def test_what_mypyc_writes_is_understood(tmp_path: Path) -> None:
    pytest.importorskip("mypyc.build", reason="needs mypy and setuptools")
    text = "from heapq import heappush\ndef put(to: list[int]) -> None:\n    heappush(to, 1)\n"
    for name in ("one.py", "two.py"):
        (tmp_path / name).write_text(text, "utf-8")
    code = "from mypyc.build import mypycify; mypycify(['one.py', 'two.py'], multi_file=True)"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=240)
    made = [file.read_text("utf-8") for file in tmp_path.glob("build/__native_*")]
    assert not is_remembering(made)
    assert is_remembering([remembering(text) for text in made])


@pytest.mark.parametrize(
    ("says", "refuses", "keeps"),
    [
        ("#define __GNUC__ 12", "-nowhere", True),
        ("#define __GNUC__ 12", "-fprofile-generate", False),
        ("#define __GNUC__ 12", "-fprofile-use", False),
        ("#define __GNUC__ 4\\n#define __clang__ 1", "-nowhere", False),
        ("#define __TINYC__ 1", "-nowhere", False),
    ],
)
def test_which_compiler_keeps_profiles_as_gcc_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str, refuses: str, keeps: bool
) -> None:
    compiler = tmp_path / "cc"
    compiler.write_text(f'#!/bin/sh\ncase "$*" in *{refuses}*) exit 1;; esac\nprintf "{says}\\n"\n')
    compiler.chmod(0o755)
    monkeypatch.setenv("CC", f"{compiler} -pthread")
    assert keeps_profiles() is keeps


GCDA = "pathlib.Path('build/temp').mkdir(parents=True); open('build/temp/x.gcda', 'w').close()"


@pytest.mark.parametrize(
    ("does", "wrong"),
    [
        (f"if not os.path.exists('build'): {GCDA}", ""),
        ("pass", "adpkv ran without what was compiled, or that has counted nothing"),
        (f"{GCDA}; sys.exit(70)", "adpkv does not run here"),
        (f"{GCDA}; os.kill(os.getpid(), signal.SIGKILL)", "adpkv does not run here"),
        (f"{GCDA}; signal.pause()", "adpkv has not simulated conversation in 1 s"),
    ],
)
def test_without_counts_nothing_is_built_by_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, does: str, wrong: str
) -> None:
    _adpkv(tmp_path, monkeypatch, does)
    if "pause" in does:
        monkeypatch.setattr(compiling, "TRAINING_S", 1)
    assert train() == wrong


def test_what_crashes_is_not_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _adpkv(tmp_path, monkeypatch, f"{GCDA}; os.kill(os.getpid(), signal.SIGSEGV)")
    with pytest.raises(SystemExit, match="adpkv, compiled, crashes in conversation: SIGSEGV"):
        train()


def _adpkv(folder: Path, monkeypatch: pytest.MonkeyPatch, does: str) -> None:
    """Something else of this name, to be trained in its place."""
    (folder / "adpkv").mkdir()
    (folder / "adpkv" / "__init__.py").touch()
    code = f"import os, pathlib, signal, sys\n{does}\n"
    (folder / "adpkv" / "__main__.py").write_text(code, "utf-8")
    monkeypatch.chdir(folder)


@needs_compiler
@pytest.mark.skipif(not keeps_profiles(), reason="needs GCC")
def test_what_is_counted_is_where_it_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "build" / "temp"
    temporary.mkdir(parents=True)
    (tmp_path / "a.c").write_text("int main(void) { return 0; }\n", "utf-8")
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()
    made = str(temporary / "a.o")
    for what in (["-c", "a.c", "-o", made], [made, "-o", "a"]):
        subprocess.run([*compiler, *compiling.COUNTED, *what], cwd=tmp_path, check=True)
    _adpkv(tmp_path, monkeypatch, "os.execv('./a', ['a'])")
    assert train() == ""


def test_make_fast_shows_what_the_build_says() -> None:
    """pip keeps it to itself; its log has it, behind the time of each line."""
    recipe = (ROOT / "Makefile").read_text()
    (program,) = re.findall(r"sed -n '(s/.*/p)' \.venv-fast/build\.log", recipe)
    assert "--log .venv-fast/build.log" in recipe
    lines = ["gcc -c x.c", f"{compiling.NOTE}no profile"]
    log = "".join(f"2026-11-29T20:00:00,123   {line}\n" for line in lines)
    shown = subprocess.run(
        ["sed", "-n", program], input=log, capture_output=True, text=True, check=True
    ).stdout
    assert shown == "make fast: no profile\n"
