"""`adpkv supervise` with real children: what is started again, what is not, what signals do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SUPERVISE = [sys.executable, "-c", "from adpkv.cli.app import main; main()", "supervise"]
BOUND_S = 30
QUICK = ["--first", "0.01"]
LOOK_S = 0.01

# Ends with the next of its arguments at each start, and with the last one for ever after.
CHILD = """
starts=$(cat starts 2>/dev/null || echo 0)
echo $((starts + 1)) > starts
[ "$starts" -lt $# ] || starts=$(($# - 1))
shift "$starts"
exit "$1"
"""
# Says that it is there, and what it is told; ends with the code that it is given.
PATIENT = """
import signal, sys, time
def told(number, frame):
    open("told", "a").write(f"{number}\\n")
    sys.exit(int(sys.argv[1]))
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, told)
open("ready", "w").close()
for _ in range(3000):  # in slices: Python would sleep on, if a signal came just before the sleep
    time.sleep(0.02)
"""


def supervised(folder: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*SUPERVISE, *argv],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=BOUND_S,
    )


def ending(folder: Path, codes: list[int], *options: str) -> subprocess.CompletedProcess[str]:
    """Supervise a child that ends with one of these codes after the other."""
    child = ["sh", "-c", CHILD, "child", *map(str, codes)]
    return supervised(folder, *QUICK, *options, *child)


def starts(folder: Path) -> int:
    return int((folder / "starts").read_text())


@pytest.mark.parametrize("code", [0, 1, 2, 3, 4, 70, 74, 129, 130, 143])
def test_what_a_restart_cannot_help_is_final(code: int, tmp_path: Path) -> None:
    ended = ending(tmp_path, [code])
    assert ended.returncode == code
    assert starts(tmp_path) == 1
    assert ended.stderr.startswith(f"supervise: exit code {code} (")
    assert ended.stderr.endswith("): not restarted, final\n")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize("code", [5, 75])
def test_what_asks_for_a_fresh_start_gets_one(code: int, tmp_path: Path) -> None:
    ended = ending(tmp_path, [code, code, 0])
    assert ended.returncode == 0
    assert starts(tmp_path) == 3
    word = {5: "rank lost", 75: "unhealthy"}[code]
    assert ended.stderr.splitlines() == [
        f"supervise: exit code {code} ({word}): restart 1 of 5 in 0.01 s",
        f"supervise: exit code {code} ({word}): restart 2 of 5 in 0.02 s",
        "supervise: exit code 0 (completed): not restarted, final",
    ]


def test_it_gives_up_after_so_many(tmp_path: Path) -> None:
    ended = ending(tmp_path, [75], "--restarts", "3", "--most", "0.02")
    assert ended.returncode == 75
    assert starts(tmp_path) == 4
    lines = ended.stderr.splitlines()
    assert [line.rpartition(" in ")[2] for line in lines[:3]] == ["0.01 s", "0.02 s", "0.02 s"]
    assert lines[3:] == ["supervise: exit code 75 (unhealthy): given up after 3 restarts"]


def test_a_steady_run_makes_the_count_begin_anew(tmp_path: Path) -> None:
    ended = ending(tmp_path, [75, 75, 75, 0], "--restarts", "1", "--steady", "0")
    assert ended.returncode == 0
    assert ended.stderr.count("restart 1 of 1 in 0.01 s") == 3


def test_a_killed_child_is_told_as_a_shell_would(tmp_path: Path) -> None:
    ended = supervised(tmp_path, "sh", "-c", "kill -KILL $$")
    assert ended.returncode == 137
    assert ended.stderr == "supervise: exit code 137 (killed): not restarted, final\n"


def test_a_command_that_is_not_there_is_said(tmp_path: Path) -> None:
    ended = supervised(tmp_path, "no-such-command", "--flag")
    assert ended.returncode == 2
    assert "supervise: cannot start no-such-command: No such file" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    "argv",
    [[], ["--"], ["--restarts", "-1", "true"], ["--first", "soon", "true"], ["--most", "nan", "x"]],
)
def test_a_wrong_call_is_one_message(argv: list[str], tmp_path: Path) -> None:
    ended = supervised(tmp_path, *argv)
    assert ended.returncode == 2
    assert "Usage: " in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_commands_options_are_its_own(tmp_path: Path) -> None:
    ended = supervised(tmp_path, "--", "sh", "-c", 'echo "$@"', "sh", "--restarts", "9")
    assert ended.stdout == "--restarts 9\n"


def until(path: Path, process: subprocess.Popen[str]) -> None:
    until_s = time.monotonic() + BOUND_S
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until_s, f"no {path.name}"
        time.sleep(LOOK_S)


def begun(folder: Path, *argv: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*SUPERVISE, *argv],
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_reach_the_child_once_and_end_it_all(number: int, tmp_path: Path) -> None:
    process = begun(tmp_path, sys.executable, "-c", PATIENT, "75")
    until(tmp_path / "ready", process)
    # To the whole group, as Ctrl-C in a terminal does: the child must not hear it twice.
    os.killpg(process.pid, number)
    _, said = process.communicate(timeout=BOUND_S)
    assert process.returncode == 75, "the child's code, which would have been a restart"
    assert said == (
        f"supervise: exit code 75 (unhealthy): not restarted, asked to stop by signal {number}\n"
    )
    assert (tmp_path / "told").read_text() == f"{number}\n"


def test_a_signal_ends_a_pause(tmp_path: Path) -> None:
    process = begun(tmp_path, "--first", "1000", "sh", "-c", CHILD, "child", "75")
    assert process.stderr is not None
    assert process.stderr.readline().endswith("restart 1 of 5 in 300 s\n")
    process.terminate()
    _, said = process.communicate(timeout=BOUND_S)
    assert process.returncode == 143
    assert said == "supervise: not restarted, asked to stop by signal 15\n"
    assert starts(tmp_path) == 1


def test_a_killed_supervisor_leaves_no_child(tmp_path: Path) -> None:
    process = begun(tmp_path, sys.executable, "-c", PATIENT, "0")
    until(tmp_path / "ready", process)
    process.kill()
    process.communicate(timeout=BOUND_S)
    until_s = time.monotonic() + BOUND_S
    while not (tmp_path / "told").exists():
        assert time.monotonic() < until_s, "the child was not told"
        time.sleep(LOOK_S)
    assert (tmp_path / "told").read_text() == f"{signal.SIGTERM.value}\n"
