"""Starts simulations of one trace as processes of their own, in turns with DynoSim's."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from adpkv.bench.children import Whole, run_module
from adpkv.bench.dynosim import DynoSim, Replayed
from adpkv.bench.trace_child import Asked, Told

__all__ = ["Took", "TraceRuns"]

BOUND_S: Final = 300.0
"""One child."""


class Took(msgspec.Struct, frozen=True):
    """What one simulation took, and came to."""

    told: Told
    completed: int
    submitted: int
    tokens: int
    iterations: int
    violations: int
    digest: str
    """Of `requests.jsonl`: runs with and without jumping must have the same."""


class TraceRuns:
    """Starts the children; `overrides` are those of `adpkv simulate --set`."""

    def __init__(
        self,
        experiment: Path,
        overrides: Sequence[str] = (),
        about: str = "",
        dynosim: DynoSim | None = None,
    ) -> None:
        self.about = about
        self.overrides = list(overrides)
        self.dynosim = dynosim
        self._experiment = str(experiment)

    def run(
        self, *, jump: bool = True, shares: bool = False, blind: bool = False
    ) -> tuple[Took, Whole]:
        """One run, and what its process took as a whole."""
        with tempfile.TemporaryDirectory(prefix="adpkv-bench-") as made:
            out = Path(made) / "run"
            asked = Asked(self._experiment, self.overrides, str(out), jump, shares, blind)
            argv = [msgspec.json.encode(asked).decode()]
            said, whole = run_module("adpkv.bench.trace_child", argv, bound_s=BOUND_S)
            return _took(out, msgspec.convert(said, Told)), whole

    def in_turns(self, turns: int) -> tuple[list[tuple[Took, Whole]], list[tuple[Replayed, Whole]]]:
        """Ours and DynoSim's runs, one of each in a turn; who is first changes from turn to turn.
        Without DynoSim only ours."""
        ours: list[tuple[Took, Whole]] = []
        theirs: list[tuple[Replayed, Whole]] = []
        for turn in range(turns):
            if self.dynosim is not None and turn % 2:
                theirs.append(self.dynosim.run())
            ours.append(self.run())
            if self.dynosim is not None and not turn % 2:
                theirs.append(self.dynosim.run())
        return ours, theirs


def _took(folder: Path, told: Told) -> Took:
    summary = msgspec.json.decode((folder / "summary.json").read_bytes())
    requests = (folder / "requests.jsonl").read_bytes()
    return Took(
        told=told,
        completed=summary["requests"]["completed"],
        submitted=summary["requests"]["submitted"],
        tokens=sum(line["tokens"] for line in map(msgspec.json.decode, requests.splitlines())),
        iterations=summary["iterations"],
        violations=len(summary["violations"]),
        digest=hashlib.sha256(requests).hexdigest(),
    )
