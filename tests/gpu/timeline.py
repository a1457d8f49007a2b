"""Where the time of a staged transfer between devices goes: `python -m tests.gpu.timeline`.

On two ranks: when each step of the last rounds was done, by both ranks' clocks, and a profile of
both ranks' loops. Words: the transport (nixl), bytes of a block (65536), blocks (1024).
"""

from __future__ import annotations

import cProfile
import functools
import gc
import io
import pstats
import sys
import time
from statistics import median
from typing import Any

from tests.gpu.calls import say


class Marks:
    """When something was called and when it returned, in order."""

    def __init__(self) -> None:
        self.found: list[tuple[int, str]] = []

    def around(self, owner: Any, name: str, said: str, *, always: bool = True) -> None:
        call = getattr(owner, name)

        @functools.wraps(call)
        def marked(*args: Any, **kwargs: Any) -> Any:
            began = time.perf_counter_ns()
            result = call(*args, **kwargs)
            if always or result:
                self.found.append((began, f"{said} begins"))
                self.found.append((time.perf_counter_ns(), f"{said} ends"))
            return result

        setattr(owner, name, marked)


def main(name: str = "nixl", block: str = "65536", blocks: str = "1024") -> None:
    from adpkv.bench.transport_cells import Asked, Cell, Kind
    from adpkv.worlds.mpi.transports import import_before_mpi

    import_before_mpi(name)
    from mpi4py import MPI

    from adpkv.bench.transport_ranks import _Pair
    from adpkv.bench.transport_rig import Rig

    world = MPI.COMM_WORLD
    cell = Cell(int(block), int(blocks))
    rig = Rig(world, Asked(Kind(name, "cuda", True), [cell], 5), cell)
    pair = _Pair(world, rig)
    for _ in range(5):
        pair.ours()
    for turn, beside in enumerate(("nothing", "nothing", "bare", "bare, collected", "copy")):
        took = [_one(pair, beside) for _ in range(20)]
        if world.rank == 0:
            what = f"{name}, {block} x {blocks}, {turn}: beside it {beside}"
            say(what, f"{median(one.whole_s for one in took) * 1e6:.1f} us")
            print("whole", *(f"{one.whole_s * 1e6:.0f}" for one in took))
            print("post ", *(f"{one.post_s * 1e6:.0f}" for one in took))
    profile = cProfile.Profile()
    profile.enable()
    for _ in range(20):
        pair.ours()
    profile.disable()
    marks = Marks()
    polled = rig.transport
    staging = polled._staged
    area, inner = staging._slots._area, staging._inner
    marks.around(area, "pack", "pack")
    marks.around(area, "unpack", "unpack")
    marks.around(inner, "post", "inner.post")
    marks.around(inner, "expect", "inner.expect")
    marks.around(inner, "poll", "inner.poll that returns an end", always=False)
    marks.around(polled._words, "send", "Unpacked sent")
    work = area._work
    count, work_poll = [work.done], work.poll

    def poll() -> None:
        work_poll()
        if work.done != count[0]:
            count[0] = work.done
            marks.found.append((time.perf_counter_ns(), "the device's work is known to be done"))

    work.poll = poll
    for _ in range(3):
        marks.found.clear()
        marks.found.append((time.perf_counter_ns(), "round begins"))
        pair.ours()
        marks.found.append((time.perf_counter_ns(), "round ends"))
    every = world.gather(marks.found, 0)
    if world.rank == 0:
        lines = sorted((at, rank, what) for rank, one in enumerate(every) for at, what in one)
        for at, rank, what in lines:
            print(f"{(at - lines[0][0]) / 1e3:9.1f} us  rank {rank}  {what}")
    for rank in range(2):
        world.Barrier()
        if rank == world.rank:
            text = io.StringIO()
            pstats.Stats(profile, stream=text).sort_stats("tottime").print_stats(22)
            body = [line for line in text.getvalue().splitlines() if line.strip()]
            print(f"-- rank {rank}, 20 rounds", *body[3:], sep="\n", flush=True)
            time.sleep(0.2)
    world.Barrier()
    rig.check()
    rig.close()


def _one(pair: Any, beside: str) -> Any:
    """One transfer, after something else."""
    if beside.startswith("bare"):
        pair.bare()
    if beside == "copy":
        pair.rig.copy_s()
    if beside.endswith("collected"):
        gc.collect()
    return pair.ours()


if __name__ == "__main__":
    main(*sys.argv[1:])
