"""How many instructions a process takes, by callgrind: other than a time, a number that is the same
each time."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sysconfig
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from os import cpu_count
from pathlib import Path
from typing import Final

from tests.speed.runs import RunFailedError, Tree

__all__ = ["IMPORTED", "counted", "counts_of", "key", "made_with", "valgrind"]

COLLECTED: Final = re.compile(r"Collected *: *(\d+)")
PROCESSOR: Final = re.compile(r"^model name\s*:\s*(.+)$", re.MULTILINE)
IMPORTED: Final = ("typer", "rich", "pydantic", "pydantic-core", "pyyaml", "msgspec")
"""What a run spends a large part of its instructions in, and is not ours."""


def valgrind() -> str | None:
    """Where valgrind is; None if it is not."""
    return shutil.which("valgrind")


def counted(tree: Tree, command: Sequence[str], folder: Path) -> int:
    """The instructions of this command.

    Raises:
        RunFailedError: it failed, or callgrind has said no number.
    """
    grind = [str(valgrind()), "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    said = tree.run([*grind, *command], folder).stderr
    found = COLLECTED.search(said)
    if found is None:
        raise RunFailedError(f"callgrind says no number: {said[-500:]}")
    return int(found[1])


def counts_of(tree: Tree, runs: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """The instructions of each run, as many at a time as there are cores. Each is made once without
    callgrind before: what a first run compiles or finds out is in no number."""
    tree.compile()
    with tempfile.TemporaryDirectory(prefix="adpkv-speed-") as made:

        def count(name: str) -> int:
            folder = Path(made) / name
            folder.mkdir()
            command = tree.command(runs[name], folder / "out")
            tree.run(command, folder)
            shutil.rmtree(folder / "out", ignore_errors=True)
            return counted(tree, command, folder)

        with ThreadPoolExecutor(cpu_count()) as pool:
            longest_first = list(reversed(runs))
            found = dict(zip(longest_first, pool.map(count, longest_first), strict=True))
    return {name: found[name] for name in runs}


def key() -> str:
    """What a number of instructions depends on beside adpkv: the interpreter, how it was built, and
    the processor, by which the C library chooses among its variants."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    options = str(sysconfig.get_config_var("CONFIG_ARGS") or "")
    how = "optimized" if "--enable-optimizations" in options else "plain"
    try:
        found = PROCESSOR.search(Path("/proc/cpuinfo").read_text())
    except OSError:
        found = None
    processor = found[1] if found else platform.processor() or "unknown processor"
    return f"{python}, {platform.python_compiler()}, {how}, {platform.machine()} {processor}"


def made_with() -> dict[str, str]:
    """The versions of what a count also depends on; they are told where it has grown."""
    libc = " ".join(platform.libc_ver())
    said = subprocess.run(
        [str(valgrind()), "--version"], capture_output=True, text=True, check=False
    )
    versions = {name: version(name) for name in IMPORTED}
    return {"libc": libc, "valgrind": said.stdout.strip(), **versions}
