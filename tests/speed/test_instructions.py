"""The check of instruction counts: it fires on what is planted, and says why it cannot judge."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from tests.speed import instructions
from tests.speed.counting import IMPORTED, counted, counts_of, key, made_with, valgrind
from tests.speed.instructions import TABLE, compared, main, why_skipped
from tests.speed.runs import ROOT, RUNS, RunFailedError, Tree

BEFORE = {"help": 500, "start": 1600, "quickstart": 2400, "group": 1900, "trace": 2000}
VERSIONS = {*IMPORTED, "libc", "valgrind"}

needs_valgrind = pytest.mark.skipif(valgrind() is None, reason="there is no valgrind")


def _table(folder: Path, counts: dict[str, int], **versions: str) -> Path:
    file = folder / "table.json"
    file.write_text(json.dumps({key(): {"instructions": counts, "made with": versions}}))
    return file


@pytest.fixture
def with_valgrind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instructions, "valgrind", lambda: "/usr/bin/valgrind")
    monkeypatch.setattr(instructions, "made_with", lambda: {"pydantic": "3.0"})


@pytest.mark.usefixtures("with_valgrind")
@pytest.mark.parametrize(
    ("now", "grown"),
    [
        ({}, ""),
        ({"help": 549}, ""),
        ({"help": 551}, "help"),
        ({"start": 1700}, ""),  # what follows it is less then
        ({"quickstart": 2470}, ""),
        ({"quickstart": 2490}, "quickstart beyond start"),
        ({"trace": 2210}, "trace, trace beyond start"),
    ],
)
def test_a_tenth_more_fails_also_of_what_follows_the_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], now: dict[str, int], grown: str
) -> None:
    file = _table(tmp_path, BEFORE, pydantic="2.14")
    assert main([], lambda: BEFORE | now, file) == bool(grown)
    said = capsys.readouterr()
    assert said.out.count("instructions: ") == 8
    if grown:
        assert said.err.startswith(f"instructions: {grown} took over 10% more than the table says.")
        assert "this has changed: pydantic: 2.14, now 3.0." in said.err


@pytest.mark.usefixtures("with_valgrind")
def test_renewing_keeps_what_other_machines_have_said(tmp_path: Path) -> None:
    file = tmp_path / "table.json"
    file.write_text('{"another": {"instructions": {}, "made with": {}}}')
    assert main(["--renew"], lambda: dict(BEFORE), file) == 0
    assert set(json.loads(file.read_text())) == {"another", key()}
    assert main([], lambda: dict(BEFORE), file) == 0


def test_without_valgrind_or_counts_it_is_skipped_and_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(instructions, "valgrind", lambda: None)
    assert main([], dict, _table(tmp_path, BEFORE)) == 0
    assert capsys.readouterr().err == "instructions: skipped: there is no valgrind\n"
    assert main(["--renew"], dict, tmp_path / "new.json") == 2
    assert capsys.readouterr().err == "instructions: not counted: there is no valgrind\n"
    assert not (tmp_path / "new.json").exists()
    assert main(["--renw"], dict, tmp_path / "new.json") == 2
    assert capsys.readouterr().err == "instructions: --renw: --renew or nothing\n"
    monkeypatch.setattr(instructions, "valgrind", lambda: "/usr/bin/valgrind")
    assert why_skipped(ROOT, {}).startswith(f"the table has no counts for {key()}; make")
    (tmp_path / "adpkv").mkdir()
    (tmp_path / "adpkv" / "core.so").touch()
    assert "is compiled" in why_skipped(tmp_path, {key(): {}})


@pytest.mark.usefixtures("with_valgrind")
def test_a_run_that_fails_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def fails() -> dict[str, int]:
        raise RunFailedError("adpkv --help\nended with 70: a bug")

    for argv in ([], ["--renew"]):
        assert main(argv, fails, _table(tmp_path, BEFORE)) == 2
        assert "ended with 70: a bug" in capsys.readouterr().err


def test_the_table_has_all_runs() -> None:
    entries = json.loads(TABLE.read_text()).values()
    assert entries
    for entry in entries:
        assert set(entry["instructions"]) == set(RUNS)
        assert len(list(compared(entry["instructions"], entry["instructions"]))) == 8
        assert set(entry["made with"]) == set(VERSIONS)


@needs_valgrind
def test_the_versions_that_are_told_are_those_of_the_table() -> None:
    assert set(made_with()) == VERSIONS


@needs_valgrind
def test_callgrind_counts_the_same_twice_and_sees_a_planted_loop(tmp_path: Path) -> None:
    """A Python that does nothing, twice; and with a loop that takes a tenth of that and more."""
    bare = [sys.executable, "-P", "-s", "-S", "-c"]  # not -I, which draws hashes anew
    tree = Tree(ROOT)
    first, again, slower = (
        counted(tree, [*bare, code], tmp_path)
        for code in ("pass", "pass", "for _ in range(100_000): pass")
    )
    assert abs(again / first - 1) < 0.001
    assert slower / first > instructions.MOST


@needs_valgrind
@pytest.mark.campaign
def test_a_slower_help_is_found(tmp_path: Path) -> None:
    """In a copy, in which somebody then plants a loop."""
    shutil.copytree(ROOT / "adpkv", tmp_path / "adpkv")
    tree, runs = Tree(tmp_path), {"help": RUNS["help"]}
    before = counts_of(tree, runs)
    with (tmp_path / "adpkv" / "cli" / "app.py").open("a") as file:
        file.write("\nfor _ in range(2_000_000):\n    pass\n")
    assert counts_of(tree, runs)["help"] > instructions.MOST * before["help"]
