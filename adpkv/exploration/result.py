"""What an exploration has found, as a value and as `explore.json`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from adpkv import __version__
from adpkv.exit_codes import ExitCode
from adpkv.exploration.coverage import Coverage

__all__ = ["UNCOUNTED", "Exploration", "Found", "exit_code_of"]

UNCOUNTED: Final = "not counted under a policy"
_RULED: Final = ("receiver_lines", "sender_lines", "cancel_answers")
"""What is counted by rules that a policy replaces."""


@dataclass(frozen=True, slots=True)
class Found:
    """All finds of one signature: the first of them, made small."""

    signature: str
    count: int
    """How many seeds had it."""
    seed: int
    """The first of them."""
    detail: str
    exit_code: int
    stuck: bool
    text: str
    """The replay file, as `adpkv replay` takes it."""
    token: str
    """The same in one word."""
    ranks: int
    requests: int
    faults: tuple[str, ...]
    """The kinds of the faults that are left."""
    choices: int
    """How many choices of its schedule are left."""
    tries: int
    """Runs that it took to make it small."""
    file: Path | None = None

    def data(self) -> dict[str, Any]:
        """As `explore.json` has it."""
        return {
            "signature": self.signature,
            "count": self.count,
            "seed": self.seed,
            "detail": self.detail,
            "exit_code": self.exit_code,
            "stuck": self.stuck,
            "file": None if self.file is None else str(self.file),
            "token": self.token,
            "shrunk": {
                "ranks": self.ranks,
                "requests": self.requests,
                "faults": list(self.faults),
                "choices": self.choices,
                "tries": self.tries,
            },
        }


@dataclass(frozen=True, slots=True)
class Exploration:
    """What came of an exploration."""

    name: str
    strategy: str
    seeds: int
    """How many were run."""
    first_seed: int
    wall_s: float
    """Since it was begun, or gone on with."""
    finds: Sequence[Found]
    coverage: Coverage
    twice: int = 0
    """Seeds that were run twice."""
    differed: Sequence[int] = ()
    """Those of them whose two runs were not the same: the virtual world is not deterministic."""
    halted: bool = False
    bound: float | None = None
    """Under PCT: the least chance that a run has to find a bug of that depth."""
    walk: dict[str, Any] = field(default_factory=dict)
    """Of an exhaustive walk: what was walked, and what was left out."""
    memory_kib: dict[int, int] = field(default_factory=dict)
    """1,000, 10,000, 20,000, ... -> of the largest process that had run so many seeds, and not yet
    the next number of them."""
    folder: Path | None = None
    earlier: int = 0
    """How many of the seeds were run before this exploration was gone on with."""

    @property
    def is_counted(self) -> bool:
        """Whether lines of the session tables and answers to cancels were counted."""
        return self.coverage.observed or not self.seeds

    def shares(self) -> dict[str, str]:
        """How much of each that was counted was reached, as a text."""
        return {
            name.replace("_", " "): str(share)
            if self.is_counted or name not in _RULED
            else UNCOUNTED
            for name, share in self.coverage.shares(is_counted=self.is_counted).items()
        }

    @property
    def exit_code(self) -> int:
        """0 clean, 4 found, 3 stuck; 6 where an exhaustive walk is not complete."""
        return exit_code_of(self.finds, self.differed, complete=self.walk.get("complete", True))

    @property
    def outcome(self) -> str:
        """The exit code as a word."""
        words = {0: "clean", 4: "found", 3: "stuck", 6: "incomplete"}
        return words[self.exit_code]

    @property
    def seeds_per_s(self) -> float:
        """Of all jobs together, since it was gone on with."""
        return (self.seeds - self.earlier) / self.wall_s if self.wall_s else 0.0

    def data(self) -> dict[str, Any]:
        """`explore.json`."""
        return {
            "adpkv": __version__,
            "name": self.name,
            "strategy": self.strategy,
            "outcome": self.outcome,
            "exit_code": self.exit_code,
            "halted": self.halted,
            "seeds": self.seeds,
            "first_seed": self.first_seed,
            "wall_s": self.wall_s,
            "seeds_per_s": self.seeds_per_s,
            "finds": [one.data() for one in self.finds],
            "determinism": {"run_twice": self.twice, "differed": list(self.differed)},
            "pct_bound": self.bound,
            "walk": self.walk or None,
            "memory_mib": {
                str(made): round(kib / 1024, 1) for made, kib in self.memory_kib.items()
            },
            "coverage": self.coverage.data(),
        }


def exit_code_of(
    finds: Sequence[Found], differed: Sequence[int] = (), *, complete: bool = True
) -> int:
    """The code of an exploration."""
    if differed or any(not one.stuck for one in finds):
        return ExitCode.VIOLATION
    if finds:
        return ExitCode.DEADLOCK
    return ExitCode.COMPLETED if complete else ExitCode.INCOMPLETE
