"""Runs `adpkv run` as a child of a program that uses adpkv as a library: the program's signal
handlers, output and working folder stay untouched."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Final

from adpkv.config import Experiment, dump
from adpkv.errors import AdpkvError, UsageError
from adpkv.exit_codes import ExitCode
from adpkv.python_module import python_module
from adpkv.worlds.mpi.launcher.launch import DRAIN_BOUND_S
from adpkv.worlds.mpi.launcher.mpirun import find_mpirun
from adpkv.worlds.select_ports import names_others

__all__ = ["END_BOUND_S", "call_run", "environment_to_import"]

END_BOUND_S: Final = 2 * DRAIN_BOUND_S
"""From the request to stop to the end: the launcher's own limit, doubled."""


def call_run(experiment: Experiment, out: Path, timeout_s: float | None) -> None:
    """Run the experiment into the folder `out`; after `timeout_s` seconds it is asked to stop.

    Raises:
        UsageError: it was refused; nothing is left behind.
        AdpkvError: it ended, and left nothing to read.
    """
    find_mpirun()
    with tempfile.TemporaryDirectory(prefix="adpkv-call-") as folder:
        file = Path(folder) / "experiment.yaml"
        file.write_text(dump(experiment), encoding="utf-8")
        call = [*python_module("adpkv"), "run", str(file), "--quiet", "--out", str(out)]
        code, said = _called(
            call, timeout_s, environment_to_import() if names_others(experiment) else None
        )
    if code == ExitCode.USAGE:
        raise UsageError(said.removeprefix("adpkv: ") or "the run was refused")
    if not (out / "config.yaml").is_file():
        raise AdpkvError(f"the run ended with {code} and left nothing: {said}")


def environment_to_import() -> dict[str, str]:
    """The caller's environment, with which the ranks can import what the caller can: its `sys.path`
    is added to PYTHONPATH."""
    stands = {path for path in sysconfig.get_paths().values() if path}
    added = [str(Path(path).absolute()) for path in sys.path if path not in stands]
    before = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    found = [path for path in dict.fromkeys([*added, *before]) if path]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(found)}


def _called(
    call: list[str], timeout_s: float | None, environment: dict[str, str] | None
) -> tuple[int, str]:
    """The exit code, and the text on stderr."""
    process = subprocess.Popen(
        call,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        env=environment,
        start_new_session=True,  # Ctrl-C reaches the caller, which passes it on below
    )
    try:
        try:
            said = process.communicate(timeout=timeout_s)[1]
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGTERM)
            said = process.communicate(timeout=END_BOUND_S)[1]
    except BaseException:
        _end(process)
        raise
    return process.returncode, said.strip()


def _end(process: subprocess.Popen[str]) -> None:
    """The caller was interrupted: let the ranks stop in order. If it is interrupted again, kill
    them."""
    try:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=END_BOUND_S)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
