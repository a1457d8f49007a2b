"""Simulates one experiment and prints in JSON what it took: `python -m adpkv.bench.trace_child`.

It does what `adpkv simulate --quiet` does, by the same function, and ends as that does. A process
of its own, pinned to one core where the system can do that, so that its peak memory and its imports
are its own. What the run came to is in its folder, which the parent reads.
"""

from __future__ import annotations

import os
import resource
import sys
from collections import Counter
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import msgspec

from adpkv.__main__ import prepare
from adpkv.cli.leaving import leave
from adpkv.cli.simulating import SimulateCall, simulating

__all__ = ["LATER", "Asked", "Told", "main"]

LATER = (
    *("adpkv.config", "adpkv.field_policies", "adpkv.output.screen", "adpkv.worlds.virtual.run"),
    *("adpkv.workload.reading", "adpkv.workload.shapes", "adpkv.workload.stops"),
    *(
        "adpkv.workload.arrivals",
        "adpkv.workload.deadlines",
        "adpkv.traces.bailian",
        "adpkv.traces.llmservingsim",
        "adpkv.traces.mooncake",
        "adpkv.traces.faults",
    ),
)
"""What the simulation of a trace imports; a test compares."""


class Asked(msgspec.Struct, frozen=True):
    """What to simulate, and how."""

    experiment: str
    overrides: list[str]
    out: str
    jump: bool = True
    shares: bool = False
    blind: bool = False
    """Without the oracles."""


class Told(msgspec.Struct, frozen=True):
    """What it took."""

    simulate_s: float
    cpu_s: float
    peak_bytes: int
    pinned: bool
    shares: dict[str, int]


def main(argv: list[str]) -> None:
    """Simulate, then print one line. The exit code is 0: the parent sees what came of it."""
    prepare()
    told = _told(msgspec.json.decode(argv[0], type=Asked), _pin())
    print(msgspec.json.encode(told).decode())
    leave(0, sys._getframe(1))


def _told(asked: Asked, pinned: bool) -> Told:
    """What the simulation takes, from reading the experiment to the last file. What it imports was
    imported before: that is a part of the whole process alone, which the parent measures."""
    call = SimulateCall(
        Path(asked.experiment), asked.overrides, Path(asked.out), jump=asked.jump, quiet=True
    )
    for name in LATER:
        import_module(name)
    work = _work(call, shares=asked.shares, blind=asked.blind)
    began_s, began_cpu_s = perf_counter(), process_time()
    shares = work()
    took_s, took_cpu_s = perf_counter() - began_s, process_time() - began_cpu_s
    return Told(
        simulate_s=took_s,
        cpu_s=took_cpu_s,
        peak_bytes=_peak_bytes(),
        pinned=pinned,
        shares=_by_part(shares) if asked.shares else {},
    )


def _work(call: SimulateCall, *, shares: bool, blind: bool) -> Callable[[], Counter[str]]:
    """What is measured; it gives the samples that were taken, of the run alone."""
    if shares:
        from adpkv.bench.shares import sampled
        from adpkv.config import load
        from adpkv.worlds.virtual.run import simulate

        def work() -> Counter[str]:
            experiment = load(call.file, call.overrides)
            with sampled() as samples:
                simulate(experiment, out=call.out, jump=call.jump)
            return samples

        return work
    more: dict[str, Any] = {}
    if blind:
        from adpkv.bench.blind import BlindSimulation

        more["kind"] = BlindSimulation

    def alone() -> Counter[str]:
        simulating(call, **more)
        return Counter()

    return alone


def _by_part(samples: Counter[str]) -> dict[str, int]:
    from adpkv.bench.shares import part_of

    found: Counter[str] = Counter()
    for module, count in samples.items():
        found[part_of(module)] += count
    return dict(found)


def _pin() -> bool:
    if not hasattr(os, "sched_setaffinity"):
        return False
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    return True


def _peak_bytes() -> int:
    # ru_maxrss only where there is nothing else: it counts what the parent had when it forked, too.
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main(sys.argv[1:])
