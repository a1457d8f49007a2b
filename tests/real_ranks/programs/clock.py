"""The ranks of one machine say when their clocks began, as narrowly as they can tell."""

from __future__ import annotations

import sys
from time import perf_counter_ns

from mpi4py import MPI

from adpkv.worlds.mpi.hosts import job_clock

LOOKS = 1_000


def main() -> int:
    world = MPI.COMM_WORLD
    clock, start = job_clock()
    start(world)
    # It began not before one difference and not after the other, whenever this process slept.
    earliest, latest = 0, 1 << 62
    for _ in range(LOOKS):
        before = perf_counter_ns()
        told = clock()
        earliest, latest = max(earliest, before - told), min(latest, perf_counter_ns() - told)
    found = world.gather((earliest, latest))
    if found:
        apart = max(low for low, _ in found) - min(high for _, high in found)
        assert apart <= 0, f"clocks began {apart / 1e3:.0f} us apart"
        print("fine", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
