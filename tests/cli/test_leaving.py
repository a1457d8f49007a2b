"""A command's process ends at once, and nothing is lost by that: real processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from adpkv.cli.leaving import leave

NOTED = """
import os, sys
class Noted:
    def __del__(self, write=os.write, into=os.open({file!r}, os.O_WRONLY | os.O_CREAT)):
        write(into, b"taken apart")
kept = Noted()
"""
"""Kept until Python takes the process apart, and tells when it does."""


def _run(*argv: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, env=env or None)


def _program(tmp_path: Path, before: str = "", within: str = "") -> tuple[str, Path]:
    """The text of a console script, and where it notes what was done at its end."""
    noted = tmp_path / "noted"
    text = NOTED.format(file=str(noted)) + before
    text += "from adpkv.__main__ import program\n"
    if within:
        text += f"import adpkv.cli.app as app\nmain = app.main\ndef first():\n    {within}\n"
        text += "    main()\napp.main = first\n"
    return text + "sys.argv = ['adpkv', '--version']\nprogram()\n", noted


def test_it_ends_without_being_taken_apart(tmp_path: Path) -> None:
    text, noted = _program(tmp_path)
    done = _run(sys.executable, "-c", text)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("adpkv ")
    assert noted.read_text() == ""


@pytest.mark.parametrize("within", ["import numpy", "sys.path[:0] = ['.']; import others"])
def test_what_others_have_imported_is_taken_apart(tmp_path: Path, within: str) -> None:
    (tmp_path / "others.py").write_text("")
    text, noted = _program(tmp_path, f"os.chdir({str(tmp_path)!r})\n", within)
    assert _run(sys.executable, "-c", text).returncode == 0
    assert noted.read_text() == "taken apart"


def test_exit_functions_and_threads_come_first(tmp_path: Path) -> None:
    """Also those of who was there before the command, as coverage is."""
    before = (
        "import atexit, threading, time\n"
        f"def note(text):\n    with open({str(tmp_path / 'noted')!r}, 'a') as file:\n"
        "        file.write(text)\n"
        "atexit.register(note, 'exit function')\n"
        "threading.Thread(target=lambda: (time.sleep(0.2), note('thread, '))).start()\n"
    )
    text, noted = _program(tmp_path, before)
    assert _run(sys.executable, "-c", text).returncode == 0
    assert noted.read_text() == "thread, exit function"


@pytest.mark.parametrize(
    ("argv", "code"), [(("--version",), 0), (("simulte",), 2), (("validate", "none.yaml"), 2)]
)
def test_the_exit_code_is_that_of_the_command(argv: tuple[str, ...], code: int) -> None:
    assert _run(sys.executable, "-P", "-m", "adpkv", *argv).returncode == code


def test_what_was_printed_is_all_there() -> None:
    """Into a pipe, whose buffer is flushed at the end."""
    done = _run(sys.executable, "-P", "-m", "adpkv", "schema")
    assert done.returncode == 0
    assert done.stdout.rstrip().endswith("}")


def test_a_profiler_that_calls_the_command_goes_on() -> None:
    done = _run(sys.executable, "-P", "-m", "cProfile", "-m", "adpkv", "--version")
    assert done.returncode == 0
    assert "function calls" in done.stdout


def test_who_looks_at_what_is_left_may() -> None:
    argv = (sys.executable, "-P", "-i", "-m", "adpkv", "--version")
    done = subprocess.run(
        argv, input="print('here')\n", capture_output=True, text=True, timeout=60, check=False
    )
    assert "here" in done.stdout


def test_a_text_is_left_to_python() -> None:
    leave("a text", None, ())
