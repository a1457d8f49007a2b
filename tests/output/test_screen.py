"""The screen: who hears what, and where a terminal is."""

from __future__ import annotations

import fcntl
import io
import json
import os
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from adpkv.config import Experiment
from adpkv.output.losses import lost_sentence, with_losses
from adpkv.output.progress import PlainProgress, QuietProgress
from adpkv.output.screen import Screen
from adpkv.terminal import terminal_columns

PRINT_COLUMNS = (
    "import sys; from adpkv.terminal import terminal_columns;"
    " sys.stderr.write(repr(terminal_columns(sys.stdout)))"
)


def _columns_seen_on_a_terminal(command: list[str], columns: int) -> str:
    ours, theirs = os.openpty()
    try:
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 20, columns, 0, 0))
        ended = subprocess.run(
            command, stdout=theirs, stderr=subprocess.PIPE, text=True, timeout=60, check=True
        )
    finally:
        os.close(ours)
        os.close(theirs)
    return ended.stderr


def test_json_is_all_that_stdout_gets(
    experiment: Experiment, capsys: pytest.CaptureFixture[str]
) -> None:
    screen = Screen(experiment, as_json=True, quiet=True)
    screen.close({"outcome": "completed"}, Path("x"))
    assert json.loads(capsys.readouterr().out) == {"outcome": "completed"}


def test_quiet_is_silent(experiment: Experiment, capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen(experiment, quiet=True)
    assert isinstance(screen.progress, QuietProgress)
    screen.close({"exit_code": 0}, Path("x"))
    assert capsys.readouterr() == ("", "")


def test_quiet_is_not_silent_about_what_is_lost(
    experiment: Experiment, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file that says so may be lost too."""
    lost = with_losses({"exit_code": 0}, ["summary.json: No space left on device"])
    Screen(experiment, quiet=True).close(lost, Path("x"))
    out, err = capsys.readouterr()
    assert (out, err.splitlines()) == ("", [f"adpkv: {lost_sentence(lost)}"])


def test_a_file_is_no_terminal(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as file:
        assert terminal_columns(file) is None
    assert terminal_columns(io.StringIO()) is None


def test_progress_is_plain_where_there_is_no_terminal(
    experiment: Experiment, capsys: pytest.CaptureFixture[str]
) -> None:
    assert isinstance(Screen(experiment).progress, PlainProgress)
    assert capsys.readouterr() == ("", "")


def test_a_terminal_has_a_width() -> None:
    seen = _columns_seen_on_a_terminal([sys.executable, "-c", PRINT_COLUMNS], 77)
    assert seen == "77"


@pytest.mark.parametrize(("launcher", "seen"), [("mpirun", "61"), ("sh", "None")])
def test_behind_a_launcher_its_terminal_counts(tmp_path: Path, launcher: str, seen: str) -> None:
    # A process with the launcher's name whose child has a pipe where it has a terminal.
    starter = tmp_path / "starter.py"
    starter.write_text(
        "import pathlib, subprocess, sys\n"
        f"pathlib.Path('/proc/self/comm').write_text({launcher!r})\n"
        f"child = [sys.executable, '-c', {PRINT_COLUMNS!r}]\n"
        "subprocess.run(child, stdout=subprocess.DEVNULL, check=True)\n"
    )
    assert _columns_seen_on_a_terminal([sys.executable, str(starter)], 61) == seen
