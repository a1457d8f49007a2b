"""`adpkv check` as a user calls it, and what it says to wrong calls."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from adpkv.cli.app import app
from adpkv.errors import UsageError
from adpkv.rank_programs.choices import from_token, to_token
from tests.rank_programs.test_own_ranks import EARLY_RETURN, RACE


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["check", *arguments])


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "early.py").write_text(EARLY_RETURN)
    (tmp_path / "race.py").write_text(RACE)
    return tmp_path


@pytest.mark.usefixtures("here")
def test_a_stuck_program_ends_with_3_and_its_report() -> None:
    done = call("early.py:program", "-n", "4")
    assert done.exit_code == 3
    assert "deadlock: early exit" in done.stdout
    assert "1 schedule of 4 ranks" in done.stderr
    assert "early.py:3 in step" in done.stdout


@pytest.mark.usefixtures("here")
def test_the_replay_line_replays() -> None:
    done = call("race.py:program", "-n", "3", "--json")
    assert done.exit_code == 4
    report = json.loads(done.stdout)["report"]
    words = report["replay"].split()
    assert words[:3] == ["adpkv", "check", "race.py:program"]
    again = call(*words[2:], "--json")
    assert again.exit_code == 4
    assert json.loads(again.stdout)["report"]["diagnosis"] == report["diagnosis"]


@pytest.mark.usefixtures("here")
def test_a_good_program_ends_with_0(here: Path) -> None:
    (here / "good.py").write_text(
        "async def program(rank):\n    print('hello')\n    await rank.barrier()\n"
    )
    done = call("good.py:program", "--schedules", "7", "--show")
    assert done.exit_code == 0
    assert "rank 1: hello" in done.stdout
    assert "7 schedules of 2 ranks" in done.stderr
    assert json.loads(call("good:program", "--json").stdout)["ok"] is True


def test_what_ranks_print_is_shown_once_and_not_again_as_a_find_is_explained(here: Path) -> None:
    (here / "parting.py").write_text(
        "async def program(rank):\n    print('hello')\n    await rank.barrier()\n"
        "    if rank.rank:\n        await rank.barrier()\n"
    )
    target = ("parting.py:program", "-n", "3", "--show")
    for words in (target, (*target, "--replay", "c1."), (*target, "--flight-recorder", "dumps")):
        done = call(*words)
        assert done.exit_code == 3
        before = done.stdout.partition("deadlock")[0].splitlines()
        assert sorted(before) == [f"rank {rank}: hello" for rank in range(3)]


@pytest.mark.parametrize(
    ("target", "text", "told"),
    [
        ("none.py:program", None, "none.py: there is no such file"),
        ("worker.py:nothing", "def other(): pass", "worker.py has no function nothing"),
        ("worker.py:program", "def program(:", "worker.py:1: invalid syntax"),
        ("worker.py:program", "import no_such_thing\nasync def program(rank): pass",
         "worker.py:1: ModuleNotFoundError while"),
        ("worker.py:program", "x = 1\nraise ValueError('no')\nasync def program(rank): pass",
         "worker.py:2: ValueError while worker.py:program was imported: no"),
        ("worker.py:program", "async def program(rank, batch): pass", "an argument 'batch'"),
        ("worker.py:program", "async def program(rank): pass", "its ranks never meet"),
        ("worker.py:program", "program = 3", "program in worker.py is no function"),
        ("worker.py:1x", "", "no name of a function"),
        ("worker.py:", "", "no name of a function after the colon"),
        ("nothing.here:program", None, "there is no module nothing"),
        ("worker", None, "a target is"),
        ("os.path:join", None, "os.path is Python's own; a program of ranks is a function of"),
    ],
)  # fmt: skip
def test_a_wrong_target_is_told(here: Path, target: str, text: str | None, told: str) -> None:
    if text is not None:
        (here / "worker.py").write_text(text + "\n")
    done = call(target)
    assert isinstance(done.exception, UsageError)
    assert told in str(done.exception)


def test_a_forgotten_await_is_told_with_its_line(here: Path) -> None:
    """In a process of its own: within pytest Python's warnings are pytest's."""
    (here / "worker.py").write_text("async def program(rank):\n    rank.barrier()\n")
    command = [sys.executable, "-m", "adpkv", "check", "worker.py:program"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    told = "an await is forgotten: "
    assert told in done.stderr
    said = done.stderr.partition(told)[2]
    assert said.endswith("worker.py:2: coroutine 'RankApi.barrier' was never awaited\n")


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--strategy", "luck"], "random, pct:D, guided or exhaustive"),
        (["--strategy", "pct:0"], "needs a depth from 1 to 100"),
        (["--allow", "everything"], "there are socket, process, thread"),
        (["--replay", "xyz"], "no token of a schedule"),
        (["--replay", "c1.AAAA"], "no token of a schedule"),
        (["--replay", "c1.é"], "no token of a schedule"),
        (["--replay", ""], "no token of a schedule"),
        (["--shared", "nosuch"], "--shared nosuch: there is no module nosuch"),
        (["--shared", "race.part"], "--shared race.part: give a top-level module, here race"),
    ],
)
def test_a_wrong_option_is_told(options: list[str], told: str) -> None:
    done = call("race.py:program", *options)
    assert isinstance(done.exception, UsageError)
    assert told in str(done.exception)


def test_a_class_is_no_target(here: Path) -> None:
    (here / "worker.py").write_text("class Worker:\n    pass\n")
    done = call("worker.py:Worker")
    assert isinstance(done.exception, UsageError)
    assert "Worker in worker.py is a class: a target is a function" in str(done.exception)


def test_a_root_that_is_not_there_is_told(here: Path) -> None:
    (here / "worker.py").write_text(
        "async def program(rank):\n    await rank.tp_broadcast(1, root=7)\n"
    )
    done = call("worker.py:program")
    assert done.exit_code == 4
    assert "ValueError: there is no rank 7: there are 2" in done.stdout


@pytest.mark.parametrize("choices", [[], [0, 0, 0], [1, 0, 2, 65535], [0] * 500 + [3]])
def test_a_token_holds_the_choices(choices: list[int]) -> None:
    found = from_token(to_token(choices))
    assert found == choices[: len(found)]
    assert not any(choices[len(found) :])
