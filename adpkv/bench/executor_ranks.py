"""What mpirun starts for `executor`: one rank of a real job, with a stopwatch around its program.

First idle iterations, then the load; afterwards the same ranks do bare `Allgather`s of the same
width, as many per iteration, with as much work of their own before each as the executor had there.
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
WARM_UP = 50
"""Iterations at the beginning that do not count, and bare calls likewise."""


class Asked(msgspec.Struct, frozen=True):
    """What the ranks are to do."""

    experiment: str
    folder: str
    idle_iterations: int
    least_active: int
    """From how many active requests on an iteration counts as one under load."""
    most_iterations: int
    """How many iterations the bare calls are made for."""


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
    """One slotted all-gather of the world's group, back to back."""
    plain_us: list[float]
    """One bare one, likewise."""


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
        self.watch: Stopwatch[tuple[RankReport, ...]] = Stopwatch(
            self.job.program.run(), self._look
        )

    def _look(self) -> tuple[int, int]:
        if self.desk is not None and len(self.watch.iterations) == self._idle_iterations:
            self.desk.start()
        serving = self.job.program.phases.rank.serving
        return serving.running(), serving.open_requests

    def run(self) -> list[Iteration]:
        """Serve to the end; all iterations but the last, which has no step."""
        gc.collect()
        gc.freeze()
        self.job.driver.run(self.watch)  # type: ignore[arg-type]
        if self.desk is not None:
            self.desk.close(DESK_BOUND_S)
        self.job.close()
        return self.watch.iterations[WARM_UP:-1]


def _spin(work_ns: int) -> None:
    """Work of one's own: processor time, as being preempted is no work."""
    until_ns = thread_time_ns() + work_ns
    while thread_time_ns() < until_ns:
        pass


def _rounds_us(call: Callable[[], object], works_ns: Sequence[int], rounds: int) -> float:
    """Microseconds that a round of calls takes beyond the `works_ns` before each of them."""
    took = []
    for _ in range(WARM_UP + rounds):
        began_ns = perf_counter_ns()
        for work_ns in works_ns:
            if work_ns:
                _spin(work_ns)
            call()
        took.append(perf_counter_ns() - began_ns)
    return (median(took[WARM_UP:]) - sum(works_ns)) / 1e3


def _bare(group: MPI.Comm) -> Callable[[], None]:
    slot = [bytearray(SLOT_BYTES), SLOT_BYTES, MPI.BYTE]
    landing = [bytearray(SLOT_BYTES * group.size), SLOT_BYTES, MPI.BYTE]
    return lambda: group.Allgather(slot, landing)


def _slotted(group: MPI.Comm) -> Callable[[], object]:
    meeting = Group(
        group, 0, range(group.size), types=PAYLOADS, news=lambda: False, stats=CollectiveStats()
    )
    join = Join(0, "tp_allgather", "bench", 0, None, RankStatus())
    return lambda: meeting.perform(join)


def _measured(
    found: Sequence[Iteration], world: MPI.Intracomm, group: MPI.Comm, asked: Asked
) -> Regime:
    """This regime on all ranks. A group counts only if all its members were in it."""
    count, least = np.array([len(found)]), np.zeros(1, dtype=np.int64)
    group.Allreduce(count, least, MPI.MIN)
    told = np.zeros(len(Regime.__struct_fields__))
    if least[0]:
        told[:] = _medians(found, group, min(int(least[0]), asked.most_iterations))
    landed = np.empty((world.size, len(told)))
    world.Allgather(told, landed)
    return Regime(*(column.tolist() for column in landed[landed[:, 0] > 0].T))


def _medians(found: Sequence[Iteration], group: MPI.Comm, rounds: int) -> list[float]:
    """This rank's entries of a `Regime`, from the iterations with all their meetings."""
    meetings = max(len(i.own) for i in found)
    whole = [i for i in found if len(i.own) == meetings]
    works_ns = [int(median(i.own[site] for i in whole)) for site in whole[0].own]
    return [
        len(whole),
        median(sum(i.own.values()) for i in whole) / 1e3,
        median(i.own_wall_ns for i in whole) / 1e3,
        median(i.wall_ns - sum(i.own.values()) for i in whole) / 1e3,
        meetings,
        _rounds_us(_bare(group), works_ns, rounds),
        _rounds_us(_slotted(group), [0], rounds),
        _rounds_us(_bare(group), [0], rounds),
    ]


def main(argv: list[str]) -> None:
    """Measure; rank 0 prints one line."""
    asked = msgspec.json.decode(argv[0], type=Asked)
    world = MPI.COMM_WORLD

    def measure() -> dict[str, Regime]:
        watched = _Watched(asked, load(Path(asked.experiment)), world)
        found = watched.run()
        group = world.Split(watched.job.instance.index, world.rank)
        regimes: dict[str, Callable[[Iteration], bool]] = {
            "idle": lambda i: i.open == 0,
            "loaded": lambda i: i.active >= asked.least_active,
        }
        before_load = next((at for at, i in enumerate(found) if i.open), len(found))
        first = {"idle": found[:before_load], "loaded": found}
        return {
            name: _measured([i for i in first[name] if fits(i)], world, group, asked)
            for name, fits in regimes.items()
        }

    said = guarded(f"bench rank {world.rank}", measure)
    if world.rank == HOST:
        print(msgspec.json.encode(said).decode(), flush=True)
    MPI.Finalize()


if __name__ == "__main__":
    main(sys.argv[1:])
