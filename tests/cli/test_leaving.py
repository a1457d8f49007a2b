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


def _script(tmp_path: Path, before: str = "", within: str = "", called: str = "program()") -> Path:
    """A console script of `adpkv --version`."""
    text = "import os, sys\n" + before + "from adpkv.__main__ import program\n"
    if within:
        text += f"import adpkv.cli.app as app\nmain = app.main\ndef first():\n    {within}\n"
        text += "    main()\napp.main = first\n"
    script = tmp_path / "adpkv"
    script.write_text(text + f"sys.argv = sys.argv[:1] + (sys.argv[1:] or ['--version'])\n{called}")
    return script


def _ended(
    tmp_path: Path, *argv: str, before: str = "", within: str = "", called: str = "program()"
) -> str:
    """What was noted at the end of a process of a console script that ends well."""
    noted = tmp_path / "noted"
    script = _script(tmp_path, NOTED.format(file=str(noted)) + before, within, called)
    done = _run(sys.executable, "-P", str(script), *argv)
    assert (done.returncode, done.stderr) == (0, "")
    return noted.read_text()


def test_it_ends_without_being_taken_apart(tmp_path: Path) -> None:
    assert _ended(tmp_path) == ""


@pytest.mark.parametrize("command", ["simulate", "validate"])
def test_so_does_what_has_read_an_experiment(tmp_path: Path, command: str) -> None:
    """PyYAML's, pydantic's and msgspec's modules are there then, and what Cython made for them."""
    out = ("--quiet", "--out", str(tmp_path / "run")) if command == "simulate" else ()
    assert _ended(tmp_path, command, "quickstart", *out) == ""


@pytest.mark.parametrize("within", ["import numpy", "sys.path[:0] = ['.']; import others"])
def test_what_others_have_imported_is_taken_apart(tmp_path: Path, within: str) -> None:
    (tmp_path / "others.py").write_text("")
    change = f"os.chdir({str(tmp_path)!r})\n"
    assert _ended(tmp_path, before=change, within=within) == "taken apart"


def test_so_is_what_the_environment_has_imported(tmp_path: Path) -> None:
    """As `sitecustomize` is, before anything of ours is there."""
    (tmp_path / "others.py").write_text("")
    before = f"sys.path[:0] = [{str(tmp_path)!r}]; import others\n"
    assert _ended(tmp_path, before=before) == "taken apart"


def test_a_script_of_somebody_else_goes_on(tmp_path: Path) -> None:
    script = tmp_path / "theirs.py"
    called = "try:\n    program()\nexcept SystemExit:\n    pass\nprint('more')\n"
    script.write_text(_script(tmp_path, called=called).read_text())
    done = _run(sys.executable, str(script))
    assert done.stdout.endswith("more\n")


def test_ctrl_c_while_threads_are_waited_for_leaves_the_exit_code(tmp_path: Path) -> None:
    before = (
        "import signal, threading, time\n"
        "first = threading.get_ident()\n"
        "def last():\n"
        "    while sys._current_frames()[first].f_code.co_name != '_shutdown':\n"
        "        time.sleep(0.01)\n"
        "    time.sleep(0.5)\n"  # it is about to wait, but a signal just before it is not seen
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    time.sleep(60)\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "threading.Thread(target=last).start()\n"
    )
    done = _run(sys.executable, "-P", str(_script(tmp_path, before)))
    assert done.returncode == 0
    assert done.stderr.startswith("Exception ignored in")
    assert done.stderr.endswith("KeyboardInterrupt: \n")


def test_exit_functions_and_threads_come_first(tmp_path: Path) -> None:
    """Also those of who was there before the command, as coverage is."""
    before = (
        "import atexit, threading, time\n"
        f"def note(text):\n    with open({str(tmp_path / 'noted')!r}, 'a') as file:\n"
        "        file.write(text)\n"
        "atexit.register(note, 'exit function')\n"
        "threading.Thread(target=lambda: (time.sleep(0.2), note('thread, '))).start()\n"
    )
    assert _run(sys.executable, "-P", str(_script(tmp_path, before))).returncode == 0
    assert (tmp_path / "noted").read_text() == "thread, exit function"


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
    leave("a text", None)
