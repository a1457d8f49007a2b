"""How many seeds an exploration runs: in a second of one core, how memory grows, and with two jobs
beside two bare loops on the same machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from math import inf
from time import perf_counter
from typing import Final

import msgspec

from adpkv.bench.figure import Figure, Target, figure
from adpkv.config import load
from adpkv.config.shipped import folder
from adpkv.exploration.batch import Task
from adpkv.exploration.campaign import BATCH, Campaign, plan_for, run_campaign
from adpkv.exploration.pool import local_pool

__all__ = ["explore"]

LEAST_SEEDS: Final = 300
LEAST_SHARE: Final = 0.9
JOBS: Final = 2
TURNS: Final = 2
"""So often both are run, in turns, and the faster of each counts: two processes that share a core
by chance, as hardware threads, take a third longer."""
KIB: Final = 1024

_LOOP: Final = """
import resource, sys, time, msgspec
from adpkv.exploration.batch import Task, perform
from adpkv.exploration.garbage import keep_what_is_imported
tasks = msgspec.json.decode(sys.stdin.buffer.read(), type=list[Task])
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
perform(tasks[0])
keep_what_is_imported()
before, began = peak(), time.process_time()
for task in tasks[1:]:
    perform(task)
print(time.process_time() - began, peak() - before)
"""
"""A bare loop over tasks. What is imported, is after the first; prints the processor time in
seconds of the others, and by how many KiB memory has grown."""


def explore(*, batches: int = 20) -> list[Figure]:
    """The experiment `explore`: 4 ranks, up to 12 requests, faults on; batches of a hundred."""
    experiment = load(folder() / "explore.yaml")
    plan = plan_for(experiment, "random", 0, BATCH * (batches + 1))
    tasks = list(Campaign(plan).tasks())
    ((spent_s, grown_kib),) = _bare([tasks])
    bare_s = wall_s = inf
    for _ in range(TURNS):
        began_s = perf_counter()
        _bare([tasks[number::JOBS] for number in range(JOBS)])
        bare_s = min(bare_s, perf_counter() - began_s)
        began_s = perf_counter()
        with local_pool(JOBS) as pool:
            run_campaign(Campaign(plan), pool)
        wall_s = min(wall_s, perf_counter() - began_s)
    seeds, all_seeds = BATCH * batches, BATCH * (batches + 1)
    return [
        figure(
            "explore, one core",
            seeds / spent_s,
            "seeds/s",
            target=Target("value", ">=", LEAST_SEEDS),
            note=f"{seeds:,} seeds, by processor time; {spent_s / seeds * 1e3:.1f} ms a seed",
        ),
        figure(
            "explore, memory",
            grown_kib / KIB,
            "MiB",
            note=f"more after {seeds:,} seeds than after {BATCH}",
        ),
        figure(
            f"explore, {JOBS} jobs",
            all_seeds / wall_s,
            "seeds/s",
            reference=all_seeds / bare_s,
            against=f"{JOBS} bare loops",
            target=Target("ratio", ">=", LEAST_SHARE),
            note="by wall time, the start of the processes included on both sides; the better of"
            f" {TURNS} in turns",
        ),
    ]


def _bare(shares: Sequence[Sequence[Task]]) -> list[tuple[float, float]]:
    """Loops at the same time, each over its own tasks; what each of them prints."""
    loops = []
    for tasks in shares:
        loop = subprocess.Popen(
            [sys.executable, "-c", _LOOP],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=dict(os.environ),
        )
        assert loop.stdin is not None
        loop.stdin.write(msgspec.json.encode(tasks))
        loop.stdin.close()
        loops.append(loop)
    found = []
    for loop in loops:
        assert loop.stdout is not None
        spent_s, grown_kib = loop.stdout.read().split()
        loop.wait()
        found.append((float(spent_s), float(grown_kib)))
    return found
