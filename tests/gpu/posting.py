"""How long posting over NIXL between devices takes, by its limit of time: `python -m
tests.gpu.posting US...` on two ranks.

For each limit and cell the rate beside the bare library's and the hold-up, as `adpkv bench
transport` finds them; what a descriptor was measured to cost; and of a few further transfers each
call of the library, in order.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from typing import Any

from tests.gpu.calls import KIB, MIB, say

ROUNDS = 6
SHOWN = 3
"""Transfers whose calls are shown."""


def main(*limits_us: str) -> None:
    from mpi4py import MPI

    from adpkv.bench.transport_cells import Cell
    from adpkv.worlds.mpi import transports

    world = MPI.COMM_WORLD
    cells = (
        Cell(MIB, 64, False),
        Cell(MIB, 64),
        Cell(64 * KIB, 1024),
        Cell(MIB, 256),
        Cell(MIB, 512),
    )
    for limit_us in limits_us or ("220",):
        transports.DEVICE_POST_NS = 1000 * int(limit_us)  # type: ignore[misc]
        for cell in cells:
            how = f"{cell.block_bytes // KIB} KiB x {cell.blocks}"
            _cell(world, cell, f"{limit_us} us, {how}{'' if cell.scattered else ' in order'}")


def _cell(world: Any, cell: Any, what: str) -> None:
    from adpkv.bench.transport_cells import Asked, Kind
    from adpkv.bench.transport_ranks import _Pair, _Taken
    from adpkv.bench.transport_rig import Rig

    rig = Rig(world, Asked(Kind("nixl", "cuda"), [cell], ROUNDS), cell)
    pair = _Pair(world, rig)
    gc.collect()
    gc.freeze()
    _Taken().turn(pair)
    taken = _Taken()
    for _ in range(ROUNDS):
        taken.turn(pair)
    found = taken.found(world, rig.nbytes)
    if found is not None:
        say(
            what,
            f"{found.ours / found.bare:.3f} of bare {found.bare:.1f} GB/s; held p99"
            f" {found.held_p99_s * 1e6:.0f} us, most {found.held_most_s * 1e6:.0f}"
            f" ({found.held_at}); post {found.post_s * 1e6:.0f} (bare"
            f" {found.bare_post_s * 1e6:.0f}), notice {found.notice_s * 1e6:.0f};"
            f" ns a descriptor {rig._inner._pace._each_ns}",
        )
        slow = [f"{took * 1e6:.0f} {which}" for took, which in taken.ours.calls()[:-13:-1]]
        print("   slowest:", *slow, sep="  ")
    for beside in ("after a copy", *["again"] * (SHOWN - 1)):
        if beside == "after a copy":
            pair.bare()
            rig.copy_s()
        _shown(world, pair, beside)
    rig.check()
    rig.close()
    gc.unfreeze()


def _shown(world: Any, pair: Any, beside: str) -> None:
    """One transfer, each call of the sender's library."""
    agent, calls = pair.rig._inner._agent, []

    def around(name: str, size: Callable[[Any], str]) -> None:
        call = getattr(agent, name)

        def timed(*args: Any) -> Any:
            began = time.perf_counter_ns()
            result = call(*args)
            calls.append((began, time.perf_counter_ns() - began, f"{name}{size(args)}"))
            return result

        setattr(agent, name, timed)

    for name in ("prepare", "post", "is_done", "notices", "notify", "finish"):
        around(name, lambda args: f" {len(args[1])}" if len(args) == 4 else "")
    began = time.perf_counter_ns()
    pair.ours()
    for name in ("prepare", "post", "is_done", "notices", "notify", "finish"):
        delattr(agent, name)
    if world.rank == 0:
        said = [f"{what} at {(at - began) / 1e3:.0f}: {took / 1e3:.1f}" for at, took, what in calls]
        kept = said[:40] + (["..."] if len(said) > 52 else []) + said[max(40, len(said) - 12) :]
        print(f"   {beside}:", *kept, sep="  ", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
