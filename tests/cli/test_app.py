"""The command as a user meets it: start, messages, exit codes."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.core import TyperGroup

from adpkv import __version__
from adpkv.cli import app as cli
from adpkv.cli.group import Commands
from adpkv.errors import DeadlockError, MissingPieceError, UsageError


def _adpkv(*argv: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from adpkv.cli.app import main; main()", *argv]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | environment,
    )


def _exit_code(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> object:
    def fail() -> None:
        raise error

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return caught.value.code


def test_help_lists_every_command() -> None:
    ended = _adpkv("--help")
    assert ended.returncode == 0
    assert all(command in ended.stdout for command in cli.COMMANDS)


def test_the_version() -> None:
    ended = _adpkv("--version")
    assert (ended.returncode, ended.stdout) == (0, f"adpkv {__version__}\n")


def test_a_home_in_which_no_completion_can_be_installed(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.touch()
    # The shell is said, and not found among the processes from which this was started.
    said = {"HOME": str(home), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    ended = _adpkv("--install-completion", "bash", **said)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"adpkv: --install-completion: {home}")
    assert ended.stderr.endswith(": File exists\n")
    assert ended.stderr.count("\n") == 1


def test_another_file_that_fails_is_not_laid_on_completion(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*args: Any, **kwargs: Any) -> Any:
        raise OSError(errno.EIO, "no luck", "/some/file")

    monkeypatch.setattr(TyperGroup, "make_context", fails)
    with pytest.raises(UsageError, match="--install-completion: /some/file: no luck"):
        cli.app(["--install-completion=bash"], standalone_mode=False)
    with pytest.raises(OSError, match="no luck"):
        cli.app(["simulate", "quickstart"], standalone_mode=False)


@pytest.mark.parametrize("argv", [("fly",), ("simulate",), ("simulate", "x", "--seed", "abc")])
def test_a_call_that_cannot_be_understood_ends_with_2(argv: tuple[str, ...]) -> None:
    ended = _adpkv(*argv)
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("command", ["run", "simulate", "validate"])
def test_a_missing_file_is_one_message_and_nothing_is_written(command: str, tmp_path: Path) -> None:
    ended = _adpkv(command, str(tmp_path / "none.yaml"), *_out(command, tmp_path))
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"adpkv: {tmp_path}/none.yaml: 1 problem")
    assert "Traceback" not in ended.stderr
    assert list(tmp_path.iterdir()) == []


def _out(command: str, folder: Path) -> list[str]:
    return [] if command == "validate" else ["--out", str(folder / "out")]


@pytest.mark.parametrize(
    ("error", "code"), [(DeadlockError("all wait"), 3), (MissingPieceError("no MPI"), 2)]
)
def test_an_error_is_a_message_and_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, code: int
) -> None:
    assert _exit_code(monkeypatch, error) == code
    assert capsys.readouterr().err == f"adpkv: {error}\n"


def test_what_nobody_foresaw_is_our_bug(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _exit_code(monkeypatch, KeyError("x")) == 70
    said = capsys.readouterr().err
    assert "KeyError: 'x'" in said
    assert "a bug in adpkv" in said


def test_ctrl_c_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("adpkv.config.json_schema", interrupted)
    monkeypatch.setattr(sys, "argv", ["adpkv", "schema"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 130


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = [sys.executable, "-c", "from adpkv.cli.app import main; main()", "schema"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = process.stderr.read()
    assert said == b""


def test_a_command_alone_is_built() -> None:
    commands = Commands("adpkv.cli", {"run": {}, "simulate": {}})
    assert commands["simulate"].name == "simulate"
    assert commands.built() == ["simulate"]
    assert list(commands) == ["run", "simulate"]


@pytest.mark.parametrize("module", ["adpkv.errors", "typer", "adpkv.streams"])
def test_ctrl_c_while_it_is_being_imported_is_no_traceback(module: str) -> None:
    """Interrupted at an import of its own: a real signal, at a place that is the same each time."""
    code = (
        "import builtins, os, signal\n"
        "real = builtins.__import__\n"
        "def interrupted(name, *rest, **more):\n"
        f"    if name == {module!r}:\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "    return real(name, *rest, **more)\n"
        "from adpkv.__main__ import main\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "builtins.__import__ = interrupted\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_ctrl_c_while_the_commands_are_read_ends_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Typer reads the commands' parameters before it handles Ctrl-C."""
    assert _exit_code(monkeypatch, KeyboardInterrupt()) == 130
    assert capsys.readouterr().err == ""
