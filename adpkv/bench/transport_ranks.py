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


class _Way:
    """The rounds of one way, always two in a row. The first finds the caches of both processes full
    of what the other way has done, and says what that costs; the second is what counts."""

    def __init__(self) -> None:
        self.first: list[_Round] = []
        self.again: list[_Round] = []

    def move(self, transfer: Callable[[], _Round]) -> None:
        """Two of them."""
        self.first.append(transfer())
        self.again.append(transfer())

    def calls(self) -> list[tuple[float, str]]:
        """How long each call of the sender took and which it was, the longest last."""
        found: list[tuple[float, str]] = []
        for one in (*self.first, *self.again):
            polls = len(one.calls_s) - 1
            names = ("post", *(f"poll {at + 1} of {polls}" for at in range(polls)))
            found += zip(one.calls_s, names, strict=True)
        return sorted(found)


class _Taken:
    """The rounds of a cell: both ways and a plain copy in turns."""

    def __init__(self) -> None:
        self.ours, self.bare = _Way(), _Way()
        self._copied_s: list[float] = []

    def turn(self, pair: _Pair) -> None:
        """One of each. The copy takes the caches from whoever comes after it: so ours are the first
        in every second turn only."""
        ways = [(self.ours, pair.ours), (self.bare, pair.bare)]
        for way, move in ways if len(self._copied_s) % 2 else reversed(ways):
            way.move(move)
        pair.rig.copy_s()
        self._copied_s.append(pair.rig.copy_s())

    def found(self, world: Any, nbytes: int) -> Found | None:
        """What the sender says of it, None at the receiver; to be called by both ranks."""
        ours, bare = self.ours, self.bare
        seen = world.gather([each.seen_ns for each in ours.again], SENDER)
        copies = world.gather(self._copied_s, SENDER)
        if world.rank != SENDER:
            return None
        calls = ours.calls()
        notices = [(there - here) / 1e9 for here, there in zip(*seen, strict=True)]
        return Found(
            ours=_rate(nbytes, ours.again),
            bare=_rate(nbytes, bare.again),
            ours_first=_rate(nbytes, ours.first),
            bare_first=_rate(nbytes, bare.first),
            copied=nbytes / median(copies[RECEIVER]) / 1e9,
            post_s=median(each.post_s for each in ours.again),
            bare_post_s=median(each.post_s for each in bare.again),
            notice_s=median(notices),
            # Of few calls the longest, not more than that.
            held_p99_s=quantiles([took for took, _ in calls], n=100, method="inclusive")[-1],
            held_most_s=calls[-1][0],
            held_at=calls[-1][1],
        )


def _rate(nbytes: int, rounds: list[_Round]) -> float:
    return nbytes / median(each.whole_s for each in rounds) / 1e9


def _measured(world: Any, asked: Asked, cell: Cell) -> list[Found | None]:
    """One cell; twice if there are idle sessions: in turns without them and beside them."""
    from adpkv.bench.transport_rig import Rig

    rig = Rig(world, asked, cell)
    pair = _Pair(world, rig)
    gc.collect()
    gc.freeze()  # as a rank of a job does
    _Taken().turn(pair)
    alone, beside = _Taken(), _Taken()
    for _ in range(asked.rounds):
        alone.turn(pair)
        if asked.idle:
            rig.open_idle()
            beside.turn(pair)
            rig.end_idle()
    pair.ours()
    rig.check()
    taken = [alone, beside] if asked.idle else [alone]
    found = [one.found(world, rig.nbytes) for one in taken]
    rig.close()
    gc.unfreeze()
    return found


def main(argv: list[str]) -> None:
    """Measure; the sender prints one line."""
    asked = msgspec.json.decode(argv[0], type=Asked)
    import_before_mpi(asked.kind.transport)
    from mpi4py import MPI

    from adpkv.worlds.mpi.driver import guarded

    world = MPI.COMM_WORLD

    def measure() -> list[Found | None]:
        return [found for cell in asked.cells for found in _measured(world, asked, cell)]

    said = guarded(f"bench rank {world.rank}", measure)
    if world.rank == SENDER:
        print(msgspec.json.encode(said).decode(), flush=True)
    MPI.Finalize()


if __name__ == "__main__":
    main(sys.argv[1:])
