"""The compiled build: what goes into it, what it says where it cannot be made, and its bytes.

What needs a C compiler and two minutes is `make fast`; where that was done, a few runs are compared
here too. `make same-bytes` compares them all.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from adpkv.build import COMPILED_IF, build
from tests.compiled.compare import BUILDS, differences, files, random_experiments, write_experiments

ROOT = Path(__file__).parents[2]
HOOK = ROOT / "launch" / "compiled_build.py"
sys.path.insert(0, str(HOOK.parent))

from compiled_build import LEFT_OUT, compiled_modules  # noqa: E402

MODULES = compiled_modules(ROOT / "adpkv")


def test_plain_python_is_what_tests_run() -> None:
    assert build() == "python"
    assert ROOT / f"{COMPILED_IF.replace('.', '/')}.py" in MODULES


def test_nothing_that_mypyc_takes_otherwise_is_compiled() -> None:
    assert all((ROOT / "adpkv" / name).is_file() for name in LEFT_OUT)
    assert len(MODULES) > 80
    for module in MODULES:
        text = module.read_text(encoding="utf-8")
        assert "msgspec.Struct" not in text, module
        assert not re.search(r"^    async def ", text, re.MULTILINE) or "coordinator" in module.name


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
    sources = (ROOT / "adpkv").rglob("*.py")
    return made.exists() and made.stat().st_mtime >= max(one.stat().st_mtime for one in sources)


@pytest.mark.skipif(not _is_fresh(), reason="needs make fast, run since the sources changed")
def test_a_few_runs_are_the_same(tmp_path: Path) -> None:
    write_experiments(tmp_path / "experiments", 6)
    tops = [tmp_path / name / "random" for name in BUILDS]
    for name, top in zip(BUILDS, tops, strict=True):
        top.mkdir(parents=True)
        random_experiments(name, top)
    assert len(files(tops[0])) > 12
    assert differences(*tops) == []
