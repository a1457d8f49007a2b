"""What mpirun starts for `transport`: two ranks that move the same blocks in two ways, in turn: by
our transport, and by the bare library below it.

The clock is the sender's, from its first post to the receiver's message that all has landed. The
receiver expects the transfer before it starts. Both ranks are on one host, so their clocks agree.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from statistics import median, quantiles
from time import perf_counter, perf_counter_ns
from typing import TYPE_CHECKING, Any

import msgspec

from adpkv.bench.transport_cells import RECEIVER, SENDER, Asked, Cell, Found
from adpkv.worlds.mpi.transports import import_before_mpi

if TYPE_CHECKING:
    from adpkv.bench.transport_rig import Rig


__all__ = ["main"]

READY, LANDED = 1, 2


class _Round(msgspec.Struct):
    """One transfer. What only one end knows is 0 at the other."""

    whole_s: float = 0.0
    post_s: float = 0.0
    seen_ns: int = 0
    calls_s: list[float] = []


class _Pair:
    """This rank's side of one cell."""

    def __init__(self, world: Any, rig: Rig) -> None:
        self._world, self.rig = world, rig
        self._receives = world.rank == RECEIVER
        self._word = bytearray(1)
        self._number = 0

    def _meet(self, tag: int) -> None:
        """The receiver's message to the sender."""
        if self._receives:
            self._world.Send([self._word, 1], SENDER, tag)
        else:
            self._world.Recv([self._word, 1], RECEIVER, tag)

    def _timed(
        self, expect: Callable[[], object], post: Callable[[], object], over: Callable[[], object]
    ) -> _Round:
        """One transfer; `over` is called until it is true."""
        found = _Round(calls_s=[])
        if self._receives:
            expect()
        self._meet(READY)
        began = now = perf_counter()
        if not self._receives:
            post()
            now = perf_counter()
            found.post_s = now - began
            found.calls_s.append(found.post_s)
        ended: object = False
        while not ended:
            before, ended = now, over()
            now = perf_counter()
            found.calls_s.append(now - before)
        found.seen_ns = perf_counter_ns()
        self._meet(LANDED)
        found.whole_s = perf_counter() - began
        return found

    def ours(self) -> _Round:
        """By the transport."""
        self._number += 1
        rig, transfer = self.rig, self.rig.transfer(self._number)
        transport = rig.transport
        return self._timed(
            lambda: rig.expect(transfer), lambda: transport.post(transfer), transport.poll
        )

    def bare(self) -> _Round:
        """By the library below it."""
        self._number += 1
        bare, blocks = self.rig.bare, (self._number, self.rig.source, self.rig.target)
        return self._timed(lambda: bare.expect(*blocks), lambda: bare.send(*blocks), bare.is_done)


def _measured(world: Any, asked: Asked, cell: Cell) -> Found:
    """One cell: rounds of both ways in turn, after one of each."""
    from adpkv.bench.transport_rig import Rig

    rig = Rig(world, asked, cell)
    pair = _Pair(world, rig)
    gc.collect()
    gc.freeze()  # as a rank of a job does
    ours, bare, copied = [], [], []
    for _ in range(asked.rounds + 1):
        ours.append(pair.ours())
        bare.append(pair.bare())
        copied.append(rig.copy_s())
    ours.append(pair.ours())
    rig.check()
    seen = world.gather([each.seen_ns for each in ours[1:]], SENDER)
    copies = world.gather(copied[1:], SENDER)
    rig.close()
    gc.unfreeze()
    if world.rank != SENDER:
        return Found(*[0.0] * 8)
    calls = sorted(call for each in ours[1:] for call in each.calls_s)
    notices = [(there - here) / 1e9 for here, there in zip(*seen, strict=True)]
    return Found(
        ours=rig.nbytes / median(each.whole_s for each in ours[1:]) / 1e9,
        bare=rig.nbytes / median(each.whole_s for each in bare[1:]) / 1e9,
        copied=rig.nbytes / median(copies[RECEIVER]) / 1e9,
        post_s=median(each.post_s for each in ours[1:]),
        bare_post_s=median(each.post_s for each in bare[1:]),
        notice_s=median(notices),
        held_p99_s=quantiles(calls, n=100)[-1] if len(calls) > 1 else calls[0],
        held_most_s=calls[-1],
    )


def main(argv: list[str]) -> None:
    """Measure; the sender prints one line."""
    asked = msgspec.json.decode(argv[0], type=Asked)
    import_before_mpi(asked.kind.transport)
    from mpi4py import MPI

    from adpkv.worlds.mpi.driver import guarded

    world = MPI.COMM_WORLD

    def measure() -> list[Found]:
        return [_measured(world, asked, cell) for cell in asked.cells]

    said = guarded(f"bench rank {world.rank}", measure)
    if world.rank == SENDER:
        print(msgspec.json.encode(said).decode(), flush=True)
    MPI.Finalize()


if __name__ == "__main__":
    main(sys.argv[1:])
