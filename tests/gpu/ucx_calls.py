"""Why a transfer over UCX between devices takes longer than the bare library's: `python -m
tests.gpu.ucx_calls [BLOCK_BYTES BLOCKS]`, on two ranks.

In turns: the transport, the bare library of the bench, and that one with one thing of the
transport's at a time. Then when UCX did something at each end of the transport's, and of the bare
library's: medians, counted from the sender's first call.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

from tests.gpu.calls import say, us

MIB = 1 << 20
ROUNDS = 60


class Watched:
    """A worker that notes when it did something."""

    def __init__(self, worker: Any) -> None:
        self._worker = worker
        self.worked: list[int] = []

    def progress_once(self) -> bool:
        """As the worker's, noted."""
        found: bool = self._worker.progress_once()
        if found:
            self.worked.append(time.perf_counter_ns())
        return found

    def progress(self) -> None:
        """As the worker's: until it has nothing to do."""
        while self.progress_once():
            pass

    def __getattr__(self, name: str) -> Any:
        return getattr(self._worker, name)


def main(block: str = str(MIB), blocks: str = "1") -> None:
    from adpkv.bench.transport_cells import Asked, Cell, Kind
    from adpkv.worlds.mpi.transports import import_before_mpi

    import_before_mpi("ucx")
    from mpi4py import MPI

    from adpkv.bench.bare_ucx import BareUcx
    from adpkv.bench.transport_ranks import _Pair
    from adpkv.bench.transport_rig import Rig

    world = MPI.COMM_WORLD
    cell = Cell(int(block), int(blocks), scattered=False)
    rig = Rig(world, Asked(Kind("ucx", "cuda"), [cell], 5), cell)
    pair = _Pair(world, rig)
    memory = rig.blocks.memory

    class Varied(BareUcx):
        """The bare library with something of the transport's."""

        def __init__(self, settings: dict[str, str], *things: str) -> None:
            self._things, comm = things, rig._data
            self._kept: dict[tuple[int, int], Any] = {}
            super().__init__(comm, memory)
            ucx = self._ucx
            if settings:
                self._context = ucx.context(settings, (ucx.tag_feature,))
                self._worker = ucx.worker(self._context)
                addresses = comm.allgather(bytes(self._worker.address))
                peer = ucx.address.create_from_buffer(addresses[1 - comm.rank])
                self._endpoint = self._worker.create_endpoint_from_worker_address(peer, True)
            own = ucx.address.create_from_worker(self._worker)
            if "itself" in things:
                self._itself = self._worker.create_endpoint_from_worker_address(own, False)
            if "closed" in things:
                closed = self._worker.create_endpoint_from_worker_address(own, True)
                closed.close_blocking()
            if "callback" in things:
                self._endpoint.set_close_callback(things.count, ("lost",))
            if "watched" in things:
                self._worker = Watched(self._worker)

        def _array(self, first: int, count: int) -> Any:
            if "kept" not in self._things:
                return super()._array(first, count)
            if (first, count) not in self._kept:
                self._kept[first, count] = super()._array(first, count)
            return self._kept[first, count]

        def is_done(self) -> bool:
            if "slow" in self._things:
                until = time.perf_counter_ns() + 3_000
                while time.perf_counter_ns() < until:
                    pass
            if "once" not in self._things:
                return super().is_done()
            self._worker.progress_once()
            self._requests = [one for one in self._requests if not one.completed]
            return not self._requests

    def by(bare: Any) -> Callable[[], Any]:
        def move() -> Any:
            rig.bare = bare
            return pair.bare()

        return move

    small = {"RNDV_THRESH": "4096"}
    watched = Varied({}, "watched")
    ways: dict[str, Callable[[], Any]] = {
        "the transport": pair.ours,
        "the bare library": by(rig.bare),
        "with the transport's settings": by(Varied(small)),
        "with an endpoint to itself": by(Varied({}, "itself")),
        "with a closed endpoint": by(Varied({}, "closed")),
        "with a callback": by(Varied({}, "callback")),
        "with one step a poll": by(Varied({}, "once")),
        "with kept arrays": by(Varied({}, "kept")),
        "with 3 us more a poll": by(Varied({}, "slow")),
        "with all of these": by(Varied(small, "itself", "closed", "callback", "kept")),
        "watched": by(watched),
    }
    took: dict[str, list[Any]] = {name: [] for name in ways}
    for turn in range(ROUNDS + 3):
        for name, move in ways.items():
            for _ in range(2):
                one = move()
            if turn >= 3:
                took[name].append(one)
    if world.rank == 0:
        for name, found in took.items():
            whole, post = (median(getattr(one, at) for one in found) * 1e6
                           for at in ("whole_s", "post_s"))  # fmt: skip
            polls = median(len(one.calls_s) for one in found)
            say(f"{block} x {blocks} {name}", f"{whole:.1f} us, post {post:.1f} us, polls {polls}")
    peers = rig._inner._peers
    ours, peers.worker = peers.worker, Watched(peers.worker)
    for name, move, worker in (
        ("the transport", pair.ours, peers.worker),
        ("the bare library", ways["watched"], watched._worker),
    ):
        rows = []
        for _ in range(ROUNDS):
            worker.worked.clear()
            one = move()
            began = world.bcast(one.seen_ns - int(sum(one.calls_s) * 1e9), 0)
            rows.append([at - began for at in worker.worked] + [one.seen_ns - began])
        for rank in range(2):
            world.Barrier()
            if rank == world.rank:
                usual = median(map(len, rows))
                alike = [row for row in rows if len(row) == usual]
                at = " ".join(f"{median(column) / 1e3:.1f}" for column in zip(*alike, strict=True))
                say(f"{name}, rank {rank}: UCX did something at, end seen at", at)
                time.sleep(0.1)
    peers.worker = ours
    say(f"rank {world.rank}: a poll of the transport that finds nothing", us(rig.transport.poll))
    say(f"rank {world.rank}: a step of its UCX", us(ours.progress_once))
    say(f"rank {world.rank}: a step of the bare library's", us(watched._worker.progress_once))
    world.Barrier()
    rig.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
