"""Simulates one experiment and prints in JSON what it took: `python -m adpkv.bench.trace_child`.

A process of its own, pinned to one core where the system can do that, so that its peak memory and
its imports are its own.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import resource
import sys
import tempfile
from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from time import perf_counter, process_time

import msgspec

from adpkv import huge_pages
from adpkv.bench.blind import BlindSimulation
from adpkv.bench.shares import part_of, sampled
from adpkv.config import load
from adpkv.worlds.virtual.run import Simulation, simulate

__all__ = ["Took", "main"]


class Took(msgspec.Struct, frozen=True):
    """What one simulation took."""

    simulate_s: float
    cpu_s: float
    peak_bytes: int
    pinned: bool
    completed: int
    submitted: int
    tokens: int
    iterations: int
    violations: int
    digest: str
    """Of `requests.jsonl`: runs with and without jumping must have the same."""
    shares: dict[str, int]


def main(argv: list[str]) -> None:
    """Simulate, then print one line."""
    huge_pages.use()  # as the command does
    parser = argparse.ArgumentParser(prog="adpkv.bench.trace_child")
    parser.add_argument("experiment", type=Path)
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--no-jump", action="store_true")
    parser.add_argument("--shares", action="store_true")
    parser.add_argument("--blind", action="store_true", help="without the oracles")
    print(msgspec.json.encode(_took(parser.parse_args(argv), _pin())).decode())


def _took(asked: argparse.Namespace, pinned: bool) -> Took:
    began_s, began_cpu_s = perf_counter(), process_time()
    experiment = load(asked.experiment, asked.overrides)
    with tempfile.TemporaryDirectory(prefix="adpkv-bench-") as folder:
        out = Path(folder) / "run"
        with sampled() if asked.shares else nullcontext(Counter[str]()) as samples:
            kind = BlindSimulation if asked.blind else Simulation
            done = simulate(experiment, out=out, jump=not asked.no_jump, kind=kind)
            summary = done.summary
        took_s, took_cpu_s = perf_counter() - began_s, process_time() - began_cpu_s
        peak_bytes = _peak_bytes()
        requests = (out / "requests.jsonl").read_bytes()
    counts = summary["requests"]
    violations = summary["violations"]
    assert isinstance(counts, dict)
    assert isinstance(violations, list)
    return Took(
        simulate_s=took_s,
        cpu_s=took_cpu_s,
        peak_bytes=peak_bytes,
        pinned=pinned,
        completed=counts["completed"],
        submitted=counts["submitted"],
        tokens=sum(line["tokens"] for line in map(msgspec.json.decode, requests.splitlines())),
        iterations=int(str(summary["iterations"])),
        violations=len(violations),
        digest=hashlib.sha256(requests).hexdigest(),
        shares=_by_part(samples),
    )


def _by_part(samples: Counter[str]) -> dict[str, int]:
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
