"""The compiled build: what goes into it, what it says where it cannot be made, and its bytes.

What needs a C compiler and five minutes of processor time is `make fast`; where that was done, a
few runs are compared here too. `make same-bytes` compares them all.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from adpkv.build import COMPILED_IF, build
from adpkv.core.plan import GroupInput
from adpkv.executor.collectives import Step, Wait
from tests.compiled.compare import BUILDS, differences, files, random_experiments, write_experiments

ROOT = Path(__file__).parents[2]
HOOK = ROOT / "launch" / "compiled_build.py"
sys.path.insert(0, str(HOOK.parent))

from compiled_build import LEFT_OUT, compiled_modules  # noqa: E402
from native_values import NATIVE, made_native  # noqa: E402

MODULES = compiled_modules(ROOT / "adpkv")


def test_plain_python_is_what_tests_run() -> None:
    assert build() == "python"
    assert ROOT / f"{COMPILED_IF.replace('.', '/')}.py" in MODULES


def test_nothing_that_mypyc_takes_otherwise_is_compiled() -> None:
    assert all((ROOT / "adpkv" / name).is_file() for name in LEFT_OUT)
    assert len(MODULES) > 80
    for module in MODULES:
        name = module.relative_to(ROOT / "adpkv").as_posix()
        text = module.read_text(encoding="utf-8")
        assert "msgspec.Struct" not in text or name in NATIVE, name


def test_each_compiled_coroutine_has_one_place_where_it_can_be() -> None:
    for module in MODULES:
        for one in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            if isinstance(one, ast.AsyncFunctionDef):
                awaits = [inner for inner in ast.walk(one) if isinstance(inner, ast.Await)]
                assert len(awaits) <= 1, f"{module} {one.name}: a stuck rank's stack has no line"


def _tuples(tree: ast.Module) -> set[str]:
    """The constants of a module that are tuples of some length."""
    found = set()
    for one in ast.walk(tree):
        if isinstance(one, ast.Assign | ast.AnnAssign) and isinstance(one.value, ast.Tuple):
            targets = one.targets if isinstance(one, ast.Assign) else [one.target]
            found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return {name for name in found if name.isupper()}


@cache
def _tuples_in(module: str) -> set[str]:
    """Those of a module of ours; none for whatever else is imported."""
    path = (ROOT / module.replace(".", "/")).with_suffix(".py")
    return _tuples(ast.parse(path.read_text())) if path.is_file() else set()


def _compared_by_identity(tree: ast.Module) -> list[str]:
    """Where `is` stands beside such a constant. In C it has no identity: it is made anew as an
    object for each comparison, so that it is nothing else, ever."""
    names, imported = _tuples(tree), set()
    for one in ast.walk(tree):
        if isinstance(one, ast.ImportFrom):
            there = _tuples_in(one.module or "")
            names |= {alias.asname or alias.name for alias in one.names if alias.name in there}
            imported |= {f"{one.module}.{alias.name}" for alias in one.names}
    of_modules = set().union(*(_tuples_in(module) for module in imported))
    return [
        ast.unparse(one)
        for one in ast.walk(tree)
        if isinstance(one, ast.Compare)
        and any(isinstance(how, ast.Is | ast.IsNot) for how in one.ops)
        and any(
            (isinstance(side, ast.Name) and side.id in names)
            or (isinstance(side, ast.Attribute) and side.attr in of_modules)
            for side in (one.left, *one.comparators)
        )
    ]


def test_no_tuple_is_compared_by_identity() -> None:
    for path in MODULES:
        assert _compared_by_identity(ast.parse(path.read_text("utf-8"))) == [], path


@pytest.mark.parametrize(
    "text",
    [
        "from adpkv.executor.step_work import DUMMY\nwork is not DUMMY",
        "from adpkv.executor.step_work import DUMMY as NONE\nwork is NONE",
        "from adpkv.executor import step_work\nwork is step_work.DUMMY",
        "IDLE: Final = (1, 2)\nwork is IDLE",
    ],
)
def test_a_tuple_that_is_compared_by_identity_is_found(text: str) -> None:
    assert _compared_by_identity(ast.parse(text)) == [text.splitlines()[1]]
    assert _compared_by_identity(ast.parse(text + "[0]")) == []


def _native(name: str) -> ModuleType:
    """A module as it is compiled, but run by Python."""
    file = ROOT / "adpkv" / name
    text, _ = made_native(file.read_text(encoding="utf-8"), NATIVE[name], "nowhere", name)
    made = ModuleType(f"native_{file.stem}")
    sys.modules[made.__name__] = made
    exec(compile(text, name, "exec"), vars(made))
    return made


def test_a_native_class_is_like_its_structure() -> None:
    native = _native("core/plan.py").GroupInput
    given: tuple[dict[str, Any], ...] = ({}, {"cancelled": (3,), "readmitted": frozenset({3})})
    for told in given:
        one, other = native(**told), GroupInput(**told)
        assert repr(one) == repr(other)
        assert one == native(**told)
        assert hash(one) == hash(native(**told))
        assert one != native(released=True)
        assert not hasattr(native, "__struct_fields__")


def test_what_may_change_has_no_hash() -> None:
    native = _native("executor/collectives.py")
    for kind in (Wait, native.Wait):
        with pytest.raises(TypeError, match="unhashable type: 'Wait'"):
            hash(kind(0, "wait", "wait", 1, None, 5, 9))
    assert hash(native.Elapsed(1, 2, None)) == hash(native.Elapsed(1, 2, None))


def test_the_fields_and_defaults_of_a_base_come_first() -> None:
    native = _native("executor/collectives.py")
    step = (0, "step", "forward", 7, None, 2, 1, 3, 9, print)
    assert repr(native.Step(*step)) == repr(Step(*step))
    assert native.Step.__match_args__ == Step.__struct_fields__
    assert isinstance(native.Wait(0, "wait", "wait", 1, None, 5, 9), native.Operation)


def test_a_mutable_default_is_made_for_each() -> None:
    native = _native("core/plan.py").Plan
    assert native().assignments == {}
    assert native().assignments is not native().assignments


@pytest.mark.parametrize("name", NATIVE)
def test_lines_keep_their_numbers(name: str) -> None:
    text = (ROOT / "adpkv" / name).read_text(encoding="utf-8")
    made, kept = made_native(text, NATIVE[name], "elsewhere", name)
    assert "msgspec.Struct" not in made
    assert all(f"from elsewhere import {one}" in made for one in kept)
    before, after = _lines(text), _lines(made)
    gone = {line: name for line, name in before.items() if after.get(line) != name}
    added = {line: name for line, name in after.items() if line not in before}
    assert set(added.values()) <= {"__init__"}
    assert bool(gone) == bool(kept)
    assert set(kept) <= {*gone.values()}


def _lines(text: str) -> dict[int, str]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {one.lineno: one.name for one in ast.walk(ast.parse(text)) if isinstance(one, kinds)}


def test_a_structure_without_room_for_its_method_is_refused() -> None:
    text = 'import msgspec\n\nclass One(msgspec.Struct):\n    """."""\n    a: int\nb = 1\n'
    with pytest.raises(SyntaxError, match="One: no room"):
        made_native(text, ["One"], "nowhere", "some/file.py")


def _structure(options: str, *lines: str, before: str = "import msgspec\n") -> str:
    body = "".join(f"    {line}\n" for line in ('"""."""', *lines))
    return f"{before}\nclass One(msgspec.Struct{options}):\n{body}\n\n"


def test_fields_of_a_frozen_structure_are_final() -> None:
    fields = ("", "a: int", "b: dict[int, int] = {}")
    made, _ = made_native(_structure(", frozen=True", *fields), ["One"], "nowhere", "file.py")
    assert "    a: _Final[int]\n    b: _Final[dict[int, int]]\n    def __init__" in made
    made, _ = made_native(_structure("", *fields), ["One"], "nowhere", "file.py")
    assert "    a: int\n" in made


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (_structure(", gc=True", "a: int"), "One: gc=True"),
        (_structure(", eq=False", "a: int"), "One: eq=False"),
        (_structure(", order=True", "a: int"), "One: order=True"),
        (_structure(", kw_only=True", "a: int"), "One: kw_only=True"),
        (_structure(", frozen=FROZEN", "a: int"), "One: frozen=FROZEN"),
        (_structure(", Generic[T]", "a: int"), "One: several bases"),
        (_structure("", "a: int = 1", "b: int"), "One: a field without default behind"),
        (_structure("", "a: int", "a: int"), "One: a field of its base again"),
        (_structure("", "a: ClassVar[int] = 1"), "One: a is no field"),
        (_structure("", "a: list[int] = msgspec.field(default_factory=list)"), "One: a = msgspec"),
        (_structure("", "a: list[int] | None = []"), r"One: a = \[\], where None is a value"),
        (_structure("", "a: float = now()"), r"One: a = now\(\) is not understood"),
        (_structure("", "a: int", "def __post_init__(self): ..."), "One: it has __post_init__"),
        (_structure("").replace("One", "Other"), "One: the file has no structure"),
        (_structure("", before="import msgspec as m\n"), "msgspec: import it alone"),
        (_structure("", before="import json, msgspec\n"), "msgspec: import it alone"),
        (_structure("", before="from msgspec import Struct\n"), "Struct: import msgspec"),
        ('import msgspec\nclass A:\n    class One(msgspec.Struct): ""', "One: a structure inside"),
        (
            _structure("") + 'class Two(One):\n    """A structure."""\n',
            "Two: its base One is a native class",
        ),
        (
            _structure("", "a: int")
            + 'class Two(One, frozen=True):\n    """."""\n\n    b: int\n\n',
            "Two: frozen, with fields of its base",
        ),
    ],
)
def test_what_a_native_class_would_not_do_is_refused(text: str, reason: str) -> None:
    names = ["One", "Two"] if "frozen, with" in reason else ["One"]
    with pytest.raises(SyntaxError, match=f"^some/file.py: {reason}"):
        made_native(text, names, "nowhere", "some/file.py")


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("CC", "no-such-compiler -pthread", "there is no C compiler (no-such-compiler)"),
        ("PYTHON_HEADERS", "/nowhere", "Python's headers are not in /nowhere"),
    ],
)
def test_what_is_missing_is_told(variable: str, value: str, said: str) -> None:
    code = (
        "import compiled_build, os, sysconfig\n"
        "if where := os.environ.get('PYTHON_HEADERS'): sysconfig.get_path = lambda name: where\n"
        "print(compiled_build.lacks())"
    )
    told = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(HOOK.parent), "CC": sys.executable, variable: value},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert told.stdout.startswith(said)


def test_a_difference_is_found(tmp_path: Path) -> None:
    for name, (wall_s, tokens) in {"one": (0.5, 7), "same": (1e-05, 7), "other": (0.5, 8)}.items():
        (tmp_path / name).mkdir()
        said = f'{{"build": "python", "wall_s": {wall_s}, "tokens": {tokens}}}'
        (tmp_path / name / "summary.json").write_text(said)
    assert differences(tmp_path / "one", tmp_path / "same") == []
    assert differences(tmp_path / "one", tmp_path / "other") == ["summary.json"]
    (tmp_path / "same" / "events.jsonl").write_text("")
    assert differences(tmp_path / "one", tmp_path / "same") == ["events.jsonl"]


def _is_fresh() -> bool:
    """Whether `make fast` was run since the sources changed: an older build is of other sources."""
    made = BUILDS["compiled"] / ".adpkv-ready"
    return made.exists() and made.stat().st_mtime >= max(one.stat().st_mtime for one in _sources())


def _sources() -> list[Path]:
    """What is compiled, and what says how."""
    found = [path for kind in ("*.py", "*.[ch]") for path in (ROOT / "adpkv").rglob(kind)]
    launch = ROOT / "launch"
    return [*found, *launch.glob("*.py"), *launch.glob("*.h"), launch / "mypyc.ini"]


def test_what_makes_the_build_is_among_its_sources() -> None:
    rule = re.search(r"^\$\(FAST\): (.*)", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert rule is not None
    named = {*re.findall(r"launch/[\w.*]+", rule[1])} - {"launch/make_venv.sh"}
    assert len(named) == 3
    assert {path for pattern in named for path in ROOT.glob(pattern)} <= {*_sources()}


needs_build = pytest.mark.skipif(
    not _is_fresh(), reason="needs make fast, run since the sources changed"
)


@needs_build
def test_what_is_frozen_is_frozen_in_the_compiled_build(tmp_path: Path) -> None:
    code = (
        "import msgspec\n"
        "from adpkv.build import build\n"
        "from adpkv.executor.collectives import NO_WORK, Elapsed\n"
        "assert build() == 'compiled'\n"
        "assert msgspec.structs.replace(NO_WORK, sequences=2).sequences == 2\n"
        "for thing, name in ((NO_WORK, 'sequences'), (Elapsed(1, 2, None), 'steps')):\n"
        "    try: setattr(thing, name, 7)\n"
        "    except AttributeError: continue\n"
        "    raise SystemExit(f'{thing} was changed')"
    )
    python = BUILDS["compiled"] / "bin" / "python"
    done = subprocess.run(
        [python, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", ["python", pytest.param("compiled", marks=needs_build)])
def test_a_rank_without_work_says_so_of_its_step(kind: str, tmp_path: Path) -> None:
    """Steps that compute something are progress, also if they take no time."""
    code = (
        "import adpkv\n"
        "from adpkv.build import build\n"
        "from adpkv.worlds.virtual.run import Simulation\n"
        f"assert build() == {kind!r}\n"
        "for program in Simulation(adpkv.load('quickstart')).programs:\n"
        "    assert program.phases.next_step().computes is False"
    )
    python = sys.executable if kind == "python" else BUILDS[kind] / "bin" / "python"
    done = subprocess.run(
        [python, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", ["python", pytest.param("compiled", marks=needs_build)])
def test_a_run_leaves_no_error_behind(kind: str, tmp_path: Path) -> None:
    """Else each later error has it as its context, with all before it: an exploration had become
    slower with each seed."""
    code = (
        "import sys, adpkv\n"
        "from adpkv.build import build\n"
        f"assert build() == {kind!r}\n"
        "adpkv.simulate('quickstart')\n"
        "assert sys.exc_info() == (None, None, None), sys.exc_info()"
    )
    python = sys.executable if kind == "python" else BUILDS[kind] / "bin" / "python"
    done = subprocess.run(
        [python, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr


@needs_build
def test_a_process_ends_at_once_there_too(tmp_path: Path) -> None:
    """What mypyc made is no stranger; an object whose end would be told is not taken apart."""
    script = tmp_path / "adpkv"
    script.write_text(
        "import os, sys\n"
        "from adpkv.build import build\n"
        "from adpkv.__main__ import program\n"
        "class Noted:\n"
        "    def __del__(self, write=os.write): write(1, b'taken apart')\n"
        "kept = Noted()\n"
        "assert build() == 'compiled'\n"
        "sys.argv[1:] = ['simulate', 'quickstart', '--quiet', '--out', 'run']\n"
        "program()"
    )
    python = BUILDS["compiled"] / "bin" / "python"
    done = subprocess.run(
        [python, "-P", script],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "taken apart" not in done.stdout
    assert (tmp_path / "run" / "summary.json").is_file()


@needs_build
def test_a_few_runs_are_the_same(tmp_path: Path) -> None:
    write_experiments(tmp_path / "experiments", 6)
    tops = [tmp_path / name / "random" for name in BUILDS]
    for name, top in zip(BUILDS, tops, strict=True):
        top.mkdir(parents=True)
        random_experiments(name, top)
    assert len(files(tops[0])) > 12
    assert differences(*tops) == []
