"""How many seeds an exploration runs: in a second of one core, how memory grows, and with two jobs
beside two bare loops on the same machine."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Sequence
from time import perf_counter, process_time
from typing import Final

import msgspec

from adpkv.bench.figure import Figure, Target, figure
from adpkv.config import load
from adpkv.config.shipped import folder
from adpkv.exploration.batch import Task, perform
from adpkv.exploration.campaign import BATCH, Campaign, plan_for, run_campaign
from adpkv.exploration.pool import local_pool

__all__ = ["explore"]

LEAST_SEEDS: Final = 300
LEAST_SHARE: Final = 0.9
JOBS: Final = 2
KIB: Final = 1024

_LOOP: Final = """
import sys, msgspec
from adpkv.exploration.batch import Task, perform
for task in msgspec.json.decode(sys.stdin.buffer.read(), type=list[Task]):
    perform(task)
"""


def explore(*, batches: int = 20) -> list[Figure]:
    """The experiment `explore`: 4 ranks, up to 12 requests, faults on; batches of a hundred."""
    experiment = load(folder() / "explore.yaml")
    plan = plan_for(experiment, "random", 0, BATCH * (batches + 1))
    first, *tasks = Campaign(plan).tasks()
    perform(first)  # what is imported, is
    before_kib, began_s = _peak_kib(), process_time()
    for task in tasks:
        perform(task)
    spent_s, grown_kib = process_time() - began_s, _peak_kib() - before_kib
    bare_s = _bare(tasks)
    began_s = perf_counter()
    with local_pool(JOBS) as pool:
        run_campaign(Campaign(plan, done={0}), pool)
    wall_s = perf_counter() - began_s
    seeds = BATCH * batches
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
            seeds / wall_s,
            "seeds/s",
            reference=seeds / bare_s,
            against=f"{JOBS} bare loops",
            target=Target("ratio", ">=", LEAST_SHARE),
            note="by wall time, the start of the processes included on both sides",
        ),
    ]


def _peak_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _bare(tasks: Sequence[Task]) -> float:
    """The seconds in which two processes make the tasks, half each, and tell nobody."""
    began_s = perf_counter()
    loops = []
    for number in range(JOBS):
        loop = subprocess.Popen(
            [sys.executable, "-c", _LOOP], stdin=subprocess.PIPE, env=dict(os.environ)
        )
        assert loop.stdin is not None
        loop.stdin.write(msgspec.json.encode(tasks[number::JOBS]))
        loop.stdin.close()
        loops.append(loop)
    for loop in loops:
        loop.wait()
    return perf_counter() - began_s
