"""Calls that are read without Typer mean what Typer would have read, or are left to it."""

from __future__ import annotations

import sys
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from adpkv.cli import plain, run, simulate
from adpkv.cli.app import app
from adpkv.cli.plain import plain_call
from adpkv.random_draws import integer

WORDS = (
    *("quickstart", "closed-loop", "set", "--set", "seed=2", "a=b=c", "--set=seed=3", "--out"),
    *("runs/x", "--out=y", "--seed", "7", "007", "-7", "1_0", "٣", "--quiet", "-q", "--json"),
    *(
        "--jump",
        "--no-jump",
        "--no-quiet",
        "-h",
        "--help",
        "--",
        "-",
        "",
        "-qq",
        "--see",
        "nowhere",
    ),
)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What would have been done."""
    told: list[Any] = []

    def done(call: Any) -> int:
        told.append(call)
        return 0

    for module in (simulate, sys.modules["adpkv.cli.simulating"]):
        monkeypatch.setattr(module, "simulating", done)
    for module in (run, sys.modules["adpkv.cli.running"]):
        monkeypatch.setattr(module, "running", done)
    return told


def _drawn(number: int) -> list[str]:
    count = integer(0, 6, 1, "count", number)
    words = [WORDS[integer(0, len(WORDS) - 1, 1, "word", number, n)] for n in range(count)]
    return [("simulate", "run")[number % 2], *words]


def test_what_is_read_is_what_typer_reads(calls: list[Any]) -> None:
    read = 0
    for number in range(4000):
        argv = _drawn(number)
        mine = plain_call(argv, {})
        if mine is None:
            continue
        try:
            mine()
        except Exception as error:
            calls.append(type(error))
        found = CliRunner().invoke(app, argv)
        if found.exception is not None and not isinstance(found.exception, SystemExit):
            calls.append(type(found.exception))
        assert found.exit_code != 2 or not isinstance(found.exception, SystemExit), argv
        one, other = calls
        assert one == other, argv
        calls.clear()
        read += 1
    assert read > 100


@pytest.mark.parametrize("command", ["simulate", "run"])
def test_most_calls_are_read(command: str) -> None:
    options: list[list[str]] = [["--set", "seed=2"], ["--out", "x"], ["--quiet"], ["--json"]]
    if command == "simulate":
        options += [["--seed", "3"], ["--no-jump"]]
    for chosen in product((False, True), repeat=len(options)):
        words = [w for o, wanted in zip(options, chosen, strict=True) if wanted for w in o]
        assert plain_call([command, "quickstart", *words], {}) is not None
        assert plain_call([command, *words, "quickstart"], {}) is not None


@pytest.mark.parametrize(
    "words",
    [
        *([], ["--help"], ["-h"], ["x", "y"], ["x", "--out=y"], ["x", "--out"], ["x", "--set", ""]),
        *(["x", "--seed", "-1"], ["x", "--seed", "1e3"], ["x", "--seed", "1", "--seed", "2"]),
        *(["--", "x"], ["x", "--nope"], [""], ["x", "--set", "-q"]),
    ],
)
def test_all_else_is_left_to_typer(words: list[str]) -> None:
    assert plain_call(["simulate", *words], {}) is None


def test_a_shell_that_completes_is_left_to_typer() -> None:
    assert plain_call(["simulate", "x"], {"_ADPKV_COMPLETE": "complete_bash"}) is None
    assert plain_call(["validate", "x"], {}) is None
    assert plain_call([], {}) is None


def test_every_option_of_both_commands_is_known_here_or_on_purpose_not() -> None:
    from typer.main import get_command

    group: Any = get_command(app)
    for name, own in plain.SWITCHES.items():
        command = group.get_command(None, name)
        written = {w for one in command.params for w in (*one.opts, *one.secondary_opts)}
        known = {*plain.OF_ALL, *own, "--set", "--out", "file", "--help", "-h"}
        known |= {"--seed"} if name == "simulate" else set()
        assert written <= known, name


def test_the_file_that_is_taken_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from adpkv.cli import remarks

    said: list[str] = []
    monkeypatch.setattr(remarks, "say", said.append)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quickstart").write_text("name: mine\n")
    assert remarks.found_file(Path("quickstart"), quiet=True) == Path("quickstart")
    assert said == []
    remarks.found_file(Path("quickstart"), quiet=False)
    assert len(said) == 1
