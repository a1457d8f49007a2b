"""Paths that no file can have: the system says so with an error of its own, and `pathlib` passes
some of those on where it is asked whether there is such a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.child import command

LONG = "x" * 5000
NAMES = (LONG, f"a/{LONG}", "loop/x", "/dev/null/x", "\udcff")
CALLS = (
    ("inspect", "{}"),
    ("story", "1", "--out", "{}"),
    ("validate", "{}"),
    ("validate", "trace-sample", "--set", "workload.path={}"),
    ("simulate", "four-ranks", "--quiet", "--out", "{}"),
    ("init", "new", "--from", "{}"),
    ("regress", "--from", "{}", "1"),
)


@pytest.mark.parametrize("call", CALLS, ids=" ".join)
def test_a_path_that_cannot_be_is_told(call: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    for name in NAMES:
        said = command([word.format(name) for word in call], tmp_path)
        if said.code == 0:
            assert name == "\udcff", "a folder may be called so"
            continue
        assert (said.code, "Traceback" in said.err) == (2, False), f"{name[:9]}: {said.err[-500:]}"
        assert said.err
