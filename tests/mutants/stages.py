"""What may notice a mutation: exploration, unit tests, scenarios; each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tests.mutants.mutations import ROOT, Mutation
from tests.mutants.planting import NUMBER

__all__ = ["STAGES", "Noticed", "notice"]

STAGES: Final = ("explore", "unit", "scenario")
WHERE: Final = {
    "unit": ("tests/core", "tests/executor"),
    "scenario": ("tests/worlds/virtual/test_staging.py", "tests/scenarios"),
}


@dataclass(frozen=True, slots=True)
class Noticed:
    """What one stage says of one mutation."""

    by: str
    """The signature of a find, or the first test that fails; empty if nothing notices it."""
    seeds: int = 0
    """Of an exploration, until it was found or given up."""
    variant: str = ""

    def __str__(self) -> str:
        where = f" in {self.seeds} seeds" if self.seeds else ""
        return f"{self.by or 'not noticed'}{where}"

    def data(self) -> dict[str, Any]:
        """As a line has it."""
        return {"by": self.by, "seeds": self.seeds, "variant": self.variant}

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Noticed:
        """The way back."""
        return cls(row["by"], row["seeds"], row["variant"])


def notice(mutation: Mutation, stage: str, seconds: float, bound_s: float) -> Noticed:
    """Make one stage. A process that does not end in time has noticed it as well."""
    try:
        if stage == "explore":
            return _hunted(mutation, seconds, bound_s)
        return _tested(mutation, stage, bound_s)
    except subprocess.TimeoutExpired:
        return Noticed(f"it does not end within {bound_s:g} s")


def _hunted(mutation: Mutation, seconds: float, bound_s: float) -> Noticed:
    done = subprocess.run(
        [sys.executable, "-m", "tests.mutants.hunt", str(mutation.number), str(seconds)],
        capture_output=True,
        text=True,
        timeout=bound_s,
        check=False,
        cwd=ROOT,
    )
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:]
        return Noticed(f"ended with {done.returncode}: {''.join(last)}"[:200])
    said = json.loads(done.stdout.strip().splitlines()[-1])
    return Noticed(said["signature"], said["seeds"], said["variant"])


def _tested(mutation: Mutation, stage: str, bound_s: float) -> Noticed:
    """The first test that fails; those of the module itself are the first."""
    package, _, module = mutation.module.removeprefix("adpkv.").partition(".")
    own = [f"tests/{package}/test_{module}.py"] if stage == "unit" else []
    own = [name for name in own if (ROOT / name).is_file()]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "--no-header", "-m", "not slow"]
    plugins = ["-p", "tests.mutants.planting", "-p", "no:cacheprovider", "-p", "no:xdist"]
    done = subprocess.run(
        [*command, *plugins, *own, *WHERE[stage]],
        capture_output=True,
        text=True,
        timeout=bound_s,
        check=False,
        cwd=ROOT,
        env=os.environ | {NUMBER: str(mutation.number)},
    )
    if not done.returncode:
        return Noticed("")
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    if not failed:
        last = (done.stdout + done.stderr).strip().splitlines()[-1:]
        return Noticed(f"pytest ended with {done.returncode}: {''.join(last)}"[:200])
    return Noticed(failed[0].split(" - ")[0].partition(" ")[2] or failed[0])
