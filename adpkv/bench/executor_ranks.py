"""What mpirun starts for `executor`: one rank of a real job, with a stopwatch around its program.

First idle iterations, then the load. Now and then, between two iterations, the same group makes
bare `Allgather` calls of the same width, as many per round, with as much work of their own before
each as the executor had there: so both see the same machine, whoever else is using it.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter_ns, thread_time_ns

import msgspec
import numpy as np
from mpi4py import MPI

from adpkv.bench.stopwatch import Iteration, Stopwatch
from adpkv.config import Experiment, load
from adpkv.core.plan import RankStatus
from adpkv.core.report import RankReport
from adpkv.executor.meetings import Join
from adpkv.executor.messages import PAYLOADS
from adpkv.worlds.mpi.driver import guarded
from adpkv.worlds.mpi.group import CollectiveStats, Group
from adpkv.worlds.mpi.job import Desk, Job, Wires
from adpkv.worlds.mpi.mailbox import HOST
from adpkv.worlds.mpi.signals import StopSignals
from adpkv.worlds.mpi.slots import SLOT_BYTES

__all__ = ["Asked", "Regime", "main"]

DESK_BOUND_S = 10.0
EVERY = 100
"""Iterations between two rows of bare calls; those before the first row do not count."""

ROUNDS = 20
"""Bare rounds in a row."""


class Asked(msgspec.Struct, frozen=True):
    """What the ranks are to do."""

    experiment: str
    folder: str
    idle_iterations: int
    least_active: int
    """From how many active requests on an iteration counts as one under load."""


class Regime(msgspec.Struct, frozen=True):
    """Medians per iteration in one regime, one entry for each rank that was in it."""

    iterations: list[float]
    own_us: list[float]
    """Processor time between the meetings."""
    own_wall_us: list[float]
    met_us: list[float]
    """What is left of the iteration."""
    meetings: list[float]
    bare_us: list[float]
    """What is left of a round of bare calls with as much processor time between them."""
    slotted_us: list[float]
    """One slotted all-gather, back to back."""
    plain_us: list[float]
    """One bare one, likewise."""


class _Row(msgspec.Struct, frozen=True):
    """Microseconds of bare rounds, slotted and bare calls, after an iteration like `like`."""

    like: Iteration
    bare_us: list[float]
    slotted_us: list[float]
    plain_us: list[float]


class _Beside:
    """The reference: bare calls of a group, between its iterations."""

    def __init__(self, group: MPI.Comm) -> None:
        slot = [bytearray(SLOT_BYTES), SLOT_BYTES, MPI.BYTE]
        landing = [bytearray(SLOT_BYTES * group.size), SLOT_BYTES, MPI.BYTE]
        self._bare = lambda: group.Allgather(slot, landing)
        meeting = Group(
            group, 0, range(group.size), types=PAYLOADS, news=lambda: False, stats=CollectiveStats()
        )
        join = Join(0, "tp_allgather", "bench", 0, None, RankStatus())
        self._slotted = lambda: meeting.perform(join)
        self.rows: list[_Row] = []

    def between(self, found: list[Iteration]) -> None:
        """Every so many iterations, which is at the same one on all members."""
        if len(found) % EVERY:
            return
        last = _whole(found[-EVERY:])
        works_ns = [int(median(i.own[site] for i in last)) for site in last[0].own]
        self.rows.append(
            _Row(
                found[-1],
                _rounds_us(self._bare, works_ns),
                _rounds_us(self._slotted, [0]),
                _rounds_us(self._bare, [0]),
            )
        )


def _whole(found: Sequence[Iteration]) -> list[Iteration]:
    """The iterations with most meetings: with a step, if any has one."""
    most = max(len(i.own) for i in found)
    return [i for i in found if len(i.own) == most]


def _spin(work_ns: int) -> None:
    """Work of one's own: processor time, as being preempted is no work."""
    until_ns = thread_time_ns() + work_ns
    while thread_time_ns() < until_ns:
        pass


def _rounds_us(call: Callable[[], object], works_ns: Sequence[int]) -> list[float]:
    """What each round of calls takes beyond the `works_ns` before each of them."""
    took = []
    for _ in range(ROUNDS):
        began_ns = perf_counter_ns()
        for work_ns in works_ns:
            if work_ns:
                _spin(work_ns)
            call()
        took.append((perf_counter_ns() - began_ns - sum(works_ns)) / 1e3)
    return took


class _Watched:
    """This rank's job with a stopwatch; rank 0 starts the coordinator when idling is over."""

    def __init__(self, asked: Asked, experiment: Experiment, world: MPI.Intracomm) -> None:
        self._idle_iterations = asked.idle_iterations
        self.job = Job(
            experiment, Wires.over(world), Path(asked.folder), StopSignals().install(), pulse=True
        )
        self.desk: Desk | None = None
        if self.job.rank == HOST:
            self.desk = self.job.desk(lambda _: None, lambda *_: None)
        self.beside = _Beside(world.Split(self.job.instance.index, world.rank))
        self._watch: Stopwatch[tuple[RankReport, ...]] = Stopwatch(
            self.job.program.run(), self._look, self.beside.between
        )

    def _look(self) -> tuple[int, int]:
        if self.desk is not None and len(self._watch.iterations) == self._idle_iterations:
            self.desk.start()
        serving = self.job.program.phases.rank.serving
        return serving.running(), serving.open_requests

    def run(self) -> list[Iteration]:
        """Serve to the end; all iterations but the first ones and the last, which has no step."""
        gc.collect()
        gc.freeze()
        self.job.driver.run(self._watch)  # type: ignore[arg-type]
        if self.desk is not None:
            self.desk.close(DESK_BOUND_S)
        self.job.close()
        return self._watch.iterations[EVERY:-1]


def _medians(found: Sequence[Iteration], rows: Sequence[_Row]) -> list[float]:
    """This rank's entries of a `Regime`; zeros if it was not in it."""
    if not found or not rows:
        return [0.0] * len(Regime.__struct_fields__)
    whole = _whole(found)
    return [
        len(whole),
        median(sum(i.own.values()) for i in whole) / 1e3,
        median(i.own_wall_ns for i in whole) / 1e3,
        median(i.wall_ns - sum(i.own.values()) for i in whole) / 1e3,
        len(whole[0].own),
        median(took for row in rows for took in row.bare_us),
        median(took for row in rows for took in row.slotted_us),
        median(took for row in rows for took in row.plain_us),
    ]


def _gathered(own: Sequence[float], world: MPI.Intracomm) -> Regime:
    told, landed = np.array(own), np.empty((world.size, len(own)))
    world.Allgather(told, landed)
    return Regime(*(column.tolist() for column in landed[landed[:, 0] > 0].T))


def _measured(asked: Asked, world: MPI.Intracomm) -> dict[str, Regime]:
    watched = _Watched(asked, load(Path(asked.experiment)), world)
    found, rows = watched.run(), watched.beside.rows
    before_load = next((at for at, i in enumerate(found) if i.open), len(found))
    idle = found[:before_load]
    loaded = [i for i in found if i.active >= asked.least_active]
    loaded_rows = [row for row in rows if row.like.active >= asked.least_active]
    return {
        "idle": _gathered(_medians(idle, rows[: 1 + before_load // EVERY]), world),
        "loaded": _gathered(_medians(loaded, loaded_rows), world),
    }


def main(argv: list[str]) -> None:
    """Measure; rank 0 prints one line."""
    asked = msgspec.json.decode(argv[0], type=Asked)
    world = MPI.COMM_WORLD
    said = guarded(f"bench rank {world.rank}", lambda: _measured(asked, world))
    if world.rank == HOST:
        print(msgspec.json.encode(said).decode(), flush=True)
    MPI.Finalize()


if __name__ == "__main__":
    main(sys.argv[1:])
