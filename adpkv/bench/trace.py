"""The virtual world on a whole trace: time, memory, jumping against not jumping; DynoSim beside it.

Each run is a process of its own on one core, measured from outside as a whole: interpreter,
imports, reading the trace, simulating, writing the output files.
"""

from __future__ import annotations

import os
import platform
from statistics import median

from adpkv.bench.children import Whole
from adpkv.bench.dynosim import HOW_TO_INSTALL, Replayed
from adpkv.bench.figure import Figure, Target, figure
from adpkv.bench.shares import PARTS
from adpkv.bench.trace_runs import Took, TraceRuns
from adpkv.build import build
from adpkv.counting import counted

__all__ = ["oracles", "shares", "trace"]

MOST_S = 6.0
LEAST_SPEED_UP = 3.0
"""Issue 2, Speed."""

MOST_MIB = 79.0
MOST_OF_DYNOSIM = {"python": 1.0, "compiled": 0.5}
"""Issue 18: of DynoSim's processor time, by the build of adpkv that runs."""

MOST_ORACLES = 1.25
"""Issue 3, Speed: the oracles may cost a quarter of a run."""


def trace(
    runs: TraceRuns, *, repetitions: int = 3, whole: bool = True, is_bound: bool = True
) -> list[Figure]:
    """Time, peak memory and rates with jumping; and how much slower it is without.

    Args:
        whole: this is the trace that the limits of seconds and memory were set for.
        is_bound: the limit of the ratio to DynoSim applies, as the trace is long enough for it.
    """
    ours, theirs = runs.in_turns(repetitions)
    took = ours[0][0]
    wall_s = median(one.wall_s for _, one in ours)
    return [
        _wall(runs, ours, theirs, whole=whole),
        _processor(ours, theirs, is_bound=is_bound),
        _memory(ours, theirs, whole=whole),
        figure("virtual trace, requests", took.completed / wall_s, "requests/s"),
        figure("virtual trace, generated tokens", took.tokens / wall_s, "tokens/s"),
        _walking(runs, ours, whole=whole),
    ]


def _wall(
    runs: TraceRuns,
    ours: list[tuple[Took, Whole]],
    theirs: list[tuple[Replayed, Whole]],
    *,
    whole: bool,
) -> Figure:
    took = ours[0][0]
    where = "pinned to one core" if took.told.pinned else "not pinned"
    inside_s = median(one.told.simulate_s for one, _ in ours)
    return figure(
        "virtual trace",
        median(one.wall_s for _, one in ours),
        "s",
        reference=median(one.wall_s for _, one in theirs) if theirs else None,
        against="DynoSim" if theirs else "",
        target=Target("value", "<=", MOST_S) if whole else None,
        note=f"{runs.about}; {where}; simulate() alone {inside_s:.2f} s; "
        f"{took.completed:,} of {took.submitted:,} requests completed, "
        f"{took.violations} violations, {took.iterations:,} iterations; {_conditions()}",
    )


def _processor(
    ours: list[tuple[Took, Whole]], theirs: list[tuple[Replayed, Whole]], *, is_bound: bool
) -> Figure:
    cpu_s = [one.cpu_s for _, one in ours]
    return figure(
        "virtual trace, processor time",
        median(cpu_s),
        "s",
        reference=median(one.cpu_s for _, one in theirs) if theirs else None,
        against="DynoSim" if theirs else "",
        target=Target("ratio", "<=", MOST_OF_DYNOSIM[build()]) if theirs and is_bound else None,
        note=_turns(cpu_s, theirs),
    )


def _turns(cpu_s: list[float], theirs: list[tuple[Replayed, Whole]]) -> str:
    """How the two were compared, or why they were not."""
    turns = counted(len(cpu_s), "whole process")
    slowest = f"median of {turns}; slowest {max(cpu_s):.2f} s"
    if not theirs:
        return f"{slowest}; DynoSim not run: --dynosim names a Python that has it. {HOW_TO_INSTALL}"
    said = theirs[0][0]
    theirs_s = max(one.cpu_s for _, one in theirs)
    return (
        f"{slowest}, DynoSim's {theirs_s:.2f} s; in turns on the same core; DynoSim: "
        f"{said.completed:,} of {said.submitted:,} requests completed, {said.versions}"
    )


def _conditions() -> str:
    """What else a time depends on."""
    load = f", load average {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    ours = {"python": "plain Python", "compiled": "compiled"}[build()]
    return f"{ours}, {python}, {os.cpu_count()} cores{load}"


def _memory(
    ours: list[tuple[Took, Whole]], theirs: list[tuple[Replayed, Whole]], *, whole: bool
) -> Figure:
    return figure(
        "virtual trace, peak memory",
        median(one.told.peak_bytes for one, _ in ours) / 2**20,
        "MiB",
        reference=median(one.peak_bytes for one, _ in theirs) / 2**20 if theirs else None,
        against="DynoSim" if theirs else "",
        target=Target("value", "<=", MOST_MIB) if whole else None,
    )


def _walking(runs: TraceRuns, ours: list[tuple[Took, Whole]], *, whole: bool) -> Figure:
    walked, walked_whole = runs.run(jump=False)
    same = "the same" if walked.digest == ours[0][0].digest else "ANOTHER"
    return figure(
        "virtual trace, no jump",
        walked.told.simulate_s,
        "s",
        reference=median(one.told.simulate_s for one, _ in ours),
        against="with jumping",
        target=Target("ratio", ">=", LEAST_SPEED_UP) if whole else None,
        note=f"simulate() alone; {walked_whole.wall_s:.1f} s as a process; "
        f"{walked.iterations:,} iterations; {same} requests.jsonl",
    )


def oracles(runs: TraceRuns, *, repetitions: int = 3, whole: bool = True) -> list[Figure]:
    """The same run with and without oracles, in turn."""
    seen: list[Took] = []
    blind: list[Took] = []
    for _ in range(repetitions):
        seen.append(runs.run()[0])
        blind.append(runs.run(blind=True)[0])
    same = "the same" if seen[0].digest == blind[0].digest else "ANOTHER"
    return [
        figure(
            "oracles, virtual trace",
            median(one.told.cpu_s for one in seen),
            "s",
            reference=median(one.told.cpu_s for one in blind),
            against="without ledger and input",
            target=Target("ratio", "<=", MOST_ORACLES) if whole else None,
            note=f"{runs.about}; processor time of simulate() alone; {same} requests.jsonl",
        )
    ]


def shares(runs: TraceRuns) -> list[Figure]:
    """Where the time of the jumping run goes, in percent of the samples."""
    took, _ = runs.run(shares=True)
    total = sum(took.told.shares.values()) or 1
    parts = [part for part, _ in PARTS] + ["the rest"]
    return [
        figure(
            f"share of {part}",
            100 * took.told.shares.get(part, 0) / total,
            "%",
            note=f"{took.told.simulate_s * took.told.shares.get(part, 0) / total:.2f} s "
            f"of {took.told.simulate_s:.2f} s",
        )
        for part in sorted(parts, key=lambda part: -took.told.shares.get(part, 0))
    ]
