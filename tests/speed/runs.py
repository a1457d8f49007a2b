"""Five small fixed runs, each a whole process, and how such a process is started.

Everything that could change how much a run computes is fixed: the experiments' seeds, the hashes of
texts, the environment. All that is imported is compiled before.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from compileall import compile_dir
from pathlib import Path
from typing import Final

__all__ = ["ROOT", "RUNS", "RunFailedError", "Tree", "is_compiled"]

ROOT: Final = Path(__file__).parents[2]
BOUND_S: Final = 600.0

RUNS: Final[Mapping[str, tuple[str, ...]]] = {
    "help": ("--help",),
    "start": ("simulate", "quickstart", "--set", "workload.requests=1"),
    "quickstart": ("simulate", "quickstart"),
    "group": (
        *("simulate", "large-group", "--set", "topology.context.ranks=64"),
        *("--set", "topology.generation.ranks=64", "--set", "workload.requests=150"),
    ),
    "trace": ("simulate", "trace-sample", "--set", "workload.limit=100"),
}
"""By name: the start of the command itself, that of a simulation, 8 ranks, groups of 64 ranks, and
a trace with shared prefixes. `start` is in each of the last three too."""


class RunFailedError(Exception):
    """A run did not end as it has to."""


class Tree:
    """A checkout of adpkv, whose modules are taken instead of those that are installed."""

    def __init__(self, root: Path, python: str = sys.executable) -> None:
        self.root, self._python = root, python

    def compile(self) -> None:
        """Compile its modules, as those of an installed package are."""
        compile_dir(self.root / "adpkv", quiet=2)

    def command(self, argv: Sequence[str], out: Path) -> list[str]:
        """`adpkv ARGV`. A simulation is of the experiment as it is in *this* file's checkout, and
        leaves its files in `out`."""
        if argv[0] != "simulate":
            return [self._python, "-m", "adpkv", *argv]
        file = ROOT / "configs" / f"{argv[1]}.yaml"
        call = ["simulate", str(file), *argv[2:], "--quiet", "--out", str(out)]
        return [self._python, "-m", "adpkv", *call]

    def environment(self) -> dict[str, str]:
        """The same for everybody."""
        found = {"PYTHONPATH": str(self.root), "PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8"}
        return found | {"PATH": os.environ.get("PATH", "/usr/bin:/bin")}

    def run(self, command: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
        """Run it there to its end.

        Raises:
            RunFailedError: it did not end with 0.
        """
        done = subprocess.run(
            command,
            cwd=folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=BOUND_S,
            check=False,
        )
        if done.returncode:
            told = " ".join(command)
            raise RunFailedError(f"{told}\nended with {done.returncode}: {done.stderr[-2000:]}")
        return done


def is_compiled(root: Path) -> bool:
    """Whether modules of this checkout are machine code, which computes less."""
    return any(root.glob("adpkv/**/*.so"))
