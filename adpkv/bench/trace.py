"""The virtual world on a whole trace: wall time, memory, jumping against not jumping.

Each run is a process of its own on one core, timed from outside as a whole: interpreter, imports,
reading the trace, simulating, writing the output files.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median

import msgspec

from adpkv.bench.children import run_module
from adpkv.bench.figure import Figure, Target, figure
from adpkv.bench.shares import PARTS
from adpkv.bench.trace_child import Took

__all__ = ["TraceRuns", "oracles", "shares", "trace"]

MOST_S = 6.0
MOST_MIB = 256.0
LEAST_SPEED_UP = 3.0
"""Issue 2, Speed."""

MOST_ORACLES = 1.25
"""Issue 3, Speed: the oracles may cost a quarter of a run."""

DYNOSIM_S = 3.5
"""Quoted from issue 2, not measured here: NVIDIA's DynoSim (Rust) on the whole trace, two
attention-DP groups of 8, on a machine like the one of docs/performance.md."""

BOUND_S = 300.0
"""One child."""


class TraceRuns:
    """Starts the children; `overrides` are those of `adpkv simulate --set`."""

    def __init__(self, experiment: Path, overrides: Sequence[str] = (), about: str = "") -> None:
        self.about = about
        self._argv = [str(experiment)]
        for override in overrides:
            self._argv += ["--set", override]

    def run(self, *options: str) -> tuple[Took, float]:
        """One run and its wall seconds."""
        said, wall_s = run_module(
            "adpkv.bench.trace_child", [*self._argv, *options], bound_s=BOUND_S
        )
        return msgspec.convert(said, Took), wall_s


def trace(runs: TraceRuns, *, repetitions: int = 3, whole: bool = True) -> list[Figure]:
    """Wall time, peak memory and rates with jumping; and how much slower it is without.

    `whole` says that this is the trace that the limits were set for.
    """
    jumped = [runs.run() for _ in range(repetitions)]
    walked, walked_s = runs.run("--no-jump")
    took = jumped[0][0]
    wall_s = median(wall for _, wall in jumped)
    where = "pinned to one core" if took.pinned else "not pinned"
    inside_s = median(one.simulate_s for one, _ in jumped)
    cpu_s = median(one.cpu_s for one, _ in jumped)
    same = "the same" if walked.digest == took.digest else "ANOTHER"
    return [
        figure(
            "virtual trace",
            wall_s,
            "s",
            reference=DYNOSIM_S if whole else None,
            against="DynoSim, quoted, not measured here" if whole else "",
            target=Target("value", "<=", MOST_S) if whole else None,
            note=f"{runs.about}; {where}; simulate() alone {inside_s:.2f} s, cpu {cpu_s:.2f} s; "
            f"{took.completed:,} of {took.submitted:,} requests completed, "
            f"{took.violations} violations, {took.iterations:,} iterations",
        ),
        figure(
            "virtual trace, peak memory",
            median(one.peak_bytes for one, _ in jumped) / 2**20,
            "MiB",
            target=Target("value", "<=", MOST_MIB),
        ),
        figure("virtual trace, requests", took.completed / wall_s, "requests/s"),
        figure("virtual trace, generated tokens", took.tokens / wall_s, "tokens/s"),
        figure(
            "virtual trace, no jump",
            walked.simulate_s,
            "s",
            reference=inside_s,
            against="with jumping",
            target=Target("ratio", ">=", LEAST_SPEED_UP) if whole else None,
            note=f"simulate() alone; {walked_s:.1f} s as a process; {walked.iterations:,} "
            f"iterations; {same} requests.jsonl",
        ),
    ]


def oracles(runs: TraceRuns, *, repetitions: int = 3, whole: bool = True) -> list[Figure]:
    """The same run with and without oracles, in turn."""
    seen: list[Took] = []
    blind: list[Took] = []
    for _ in range(repetitions):
        seen.append(runs.run()[0])
        blind.append(runs.run("--blind")[0])
    same = "the same" if seen[0].digest == blind[0].digest else "ANOTHER"
    return [
        figure(
            "oracles, virtual trace",
            median(one.cpu_s for one in seen),
            "s",
            reference=median(one.cpu_s for one in blind),
            against="without ledger and input",
            target=Target("ratio", "<=", MOST_ORACLES) if whole else None,
            note=f"{runs.about}; processor time of simulate() alone; {same} requests.jsonl",
        )
    ]


def shares(runs: TraceRuns) -> list[Figure]:
    """Where the time of the jumping run goes, in percent of the samples."""
    took, _ = runs.run("--shares")
    total = sum(took.shares.values()) or 1
    parts = [part for part, _ in PARTS] + ["the rest"]
    return [
        figure(
            f"share of {part}",
            100 * took.shares.get(part, 0) / total,
            "%",
            note=f"{took.simulate_s * took.shares.get(part, 0) / total:.2f} s "
            f"of {took.simulate_s:.2f} s",
        )
        for part in sorted(parts, key=lambda part: -took.shares.get(part, 0))
    ]
