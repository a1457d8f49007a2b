"""Every kind of collective with every size of payload and ranks that are late, and no alarm; then
one.

python -m tests.real_ranks.programs.quiet FOLDER [frozen]

The groups, the driver, the flight recorders and the watchdogs are those of a job. Each rank's
watchdog leaves a file when it speaks: there is none until the last collective, and then
everybody's, so that a watchdog that sleeps is no silent success. With `frozen`, the whole job is
stopped for longer than a rank may be away, and goes on.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from time import perf_counter_ns
from typing import Any, Final

from mpi4py import MPI

from adpkv.diagnosis.watchdog import Watchdog
from adpkv.executor.collectives import WORLD, Collective, Operation, Pause, Step, Wait
from adpkv.flight_recorder.board import Board
from adpkv.flight_recorder.job_directory import ring_path
from adpkv.flight_recorder.slot_layout import TAIL_BYTES
from adpkv.flight_recorder.writer import FlightRecorder
from adpkv.worlds.mpi.driver import Driver, guarded
from adpkv.worlds.mpi.group import CollectiveStats, Group

HANG_S: Final = 2.0
SHARES: Final = (0.15, 0.6)
"""Of that, for which a rank is late: mostly, and at every fifth kind."""

FROZEN_S: Final = 1.5 * HANG_S
BOUND_S: Final = 30
"""For what takes a moment unless it never comes."""

OWN = 0
"""The number of the group of all; `WORLD` is the same ranks again, as in a job's last
collective."""

COLLECTIVES = ("tp_broadcast", "tp_allgather", "tp_gather", "world_allgather")
KINDS = (*COLLECTIVES, "step", "wait")
FRAME = 2
"""Bytes that MessagePack puts before a short string of bytes."""

EDGE = TAIL_BYTES - FRAME
LARGE: Final = 1_000_003
SIZES = (None, 0, 1, 3, EDGE - 1, EDGE, EDGE + 1, LARGE)
"""None: nothing to say. The bound between one round and two lies in the middle."""

MOST_LARGE: Final = 5
"""Ranks that all bring the largest at once: a collective that moves 256 MB through two cores takes
seconds, and no rank is away."""

# A process that called MPI_Init must not fork and go on, so this is executed afresh.
STOP = 'd=$1; shift; kill -STOP "$@"; sleep "$d"; kill -CONT "$@"'


def stop(seconds: float, *pids: int) -> None:
    """Another process stops these for so long; this one waits for it, stopped or not."""
    argv = ["/bin/sh", "-c", STOP, "stop", f"{seconds:f}", *map(str, pids)]
    subprocess.run(argv, stdin=subprocess.DEVNULL, check=True, timeout=BOUND_S)


def nothing() -> None:
    """In time."""


def turns(seconds: float) -> None:
    """A loop that lets other threads of this process run only when the interpreter makes it."""
    until_ns = perf_counter_ns() + int(seconds * 1e9)
    while perf_counter_ns() < until_ns:
        pass


def said(rank: int, at: int, size: int | None) -> bytes | None:
    """What this rank says in this round."""
    return None if size is None else bytes([(31 * rank + at) % 251]) * size


class Rig:
    """One rank of it."""

    def __init__(self, folder: Path) -> None:
        world = MPI.COMM_WORLD
        self.world, self.rank, self.size, self.folder = world, world.rank, world.size, folder
        self.pids: list[int] = world.allgather(os.getpid())
        recorder = FlightRecorder(
            ring_path(folder, self.rank),
            rank=self.rank, size=self.size, host="here", experiment="quiet", records=64,
        )  # fmt: skip
        world.Barrier()
        board = Board.open(folder, range(self.size), self.rank)
        stats = CollectiveStats()

        def group(number: int) -> Group:
            return Group(
                world, number, range(self.size), types=dict.fromkeys(COLLECTIVES, bytes),
                has_input=lambda: False, stats=stats, computed=recorder.computed,
            )  # fmt: skip

        self.driver = Driver({OWN: group(OWN), WORLD: group(WORLD)}, stats, recorder)
        self.watchdog = Watchdog(board, int(HANG_S * 1e9), self._speak)
        self.at: Iterator[int] = count()

    def _speak(self, error: Exception) -> None:
        (self.folder / f"alarm-{self.rank}").write_text(str(error))

    def alarms(self) -> list[str]:
        return sorted(path.read_text() for path in self.folder.glob("alarm-*"))

    def operation(self, kind: str, at: int, payload: Any, run: Callable[[], None]) -> Operation:
        if kind == "step":
            return Step(OWN, "step", "forward", at, None, 1, 0, 1, 0, run)
        if kind == "wait":
            limit_ms = at % 7 + (self.rank == at % self.size)
            return Wait(OWN, "wait", "wait", at, None, limit_ms * 1_000_000, 0)
        number = WORLD if kind.startswith("world") else OWN
        return Collective(number, kind, f"{kind} site", at, None, payload)

    def expected(self, kind: str, at: int, sizes: list[int | None]) -> Any:
        everybody = tuple(said(rank, at, size) for rank, size in enumerate(sizes))
        if kind == "tp_broadcast":
            return everybody[0]
        return None if kind == "tp_gather" and self.rank else everybody


async def meet(rig: Rig, kind: str, sizes: list[int | None], late: Callable[[], None]) -> None:
    """All meet once; `late` is what this rank does first, in its own part where there is one."""
    at = next(rig.at)
    payload = said(rig.rank, at, sizes[rig.rank])
    if kind != "step":
        late()
    for again in range(2):  # the second time all say what they said, as another object
        site = rig.operation(kind, at, payload, late if not again else nothing)
        got = await site
        if kind in COLLECTIVES:
            assert got == rig.expected(kind, at, sizes), f"{kind}, round {at}, {sizes}"
        else:
            assert got.steps == (kind == "step")
        payload = payload and bytes(bytearray(payload))
    if kind == "wait":  # which waits for nobody: whoever is late is waited for here
        await rig.operation("tp_gather", at, None, nothing)
    told = rig.alarms()
    assert told == [], f"{kind}, round {at}: {told[0]}"


async def sizes(rig: Rig) -> None:
    """Each kind: all with each size, then each rank with another one, in each round another."""
    for kind in KINDS:
        for size in SIZES if kind in COLLECTIVES else ():
            if size == LARGE and rig.size > MOST_LARGE:
                continue
            await meet(rig, kind, [size] * rig.size, nothing)
        for shift in range(len(SIZES)):
            mixed = [SIZES[(rank * 3 + shift) % len(SIZES)] for rank in range(rig.size)]
            await meet(rig, kind, mixed, nothing)


WAYS: Final[tuple[Callable[[float], None], ...]] = (
    time.sleep,
    turns,
    lambda seconds: stop(seconds, os.getpid()),
)


async def lateness(rig: Rig) -> None:
    """Each kind: four ranks are late at once, each in its own way, in each round other ones."""
    for turn, kind in enumerate(KINDS):
        seconds = HANG_S * SHARES[(turn + rig.size) % 5 == 0]
        way = (rig.rank - turn) % max(rig.size, len(WAYS) + 1)
        if way == len(WAYS):
            until_ns = perf_counter_ns() + int(seconds * 1e9)
            await Pause(OWN, "poll", "status", turn, None, until_ns, lambda: False)
        late = partial(WAYS[way], seconds) if way < len(WAYS) else nothing
        await meet(rig, kind, [3] * rig.size, late)


async def frozen(rig: Rig) -> None:
    """The whole job is stopped, its watchdogs too, for longer than a rank may be away: one rank is
    in its own part of a step, the others wait for it."""

    def freezes() -> None:
        time.sleep(SHARES[0] * HANG_S)  # the watchdogs have seen the others stand there
        stop(FROZEN_S, *rig.pids)

    first = rig.rank == 0
    await meet(rig, "step", [3] * rig.size, freezes if first else nothing)


async def absent(rig: Rig) -> None:
    """A rank stays away until every watchdog has spoken: the others' and, as it is in its own part
    of the step, its own."""

    def stays() -> None:
        until_s = time.monotonic() + BOUND_S
        while len(rig.alarms()) < rig.size:
            assert time.monotonic() < until_s, f"only {rig.alarms()}"
            time.sleep(0.01)

    odd = rig.rank == rig.size - 1
    await rig.operation("step", next(rig.at), None, stays if odd else nothing)


async def story(rig: Rig, *, freezes: bool) -> None:
    for part in (frozen,) if freezes else (sizes, lateness):
        await part(rig)
    await absent(rig)


def main() -> int:
    rig = Rig(Path(sys.argv[1]))
    rig.watchdog.start()
    guarded(
        f"rank {rig.rank}",
        lambda: rig.driver.run(story(rig, freezes=sys.argv[2:] == ["frozen"])),
        lambda error: f"adpkv: {error}",
    )
    rig.watchdog.stop()
    rig.world.Barrier()
    if rig.rank == 0:
        print("fine", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
