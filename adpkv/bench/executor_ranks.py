"""What mpirun starts for `executor`: one rank of a real job, with a stopwatch around its program.

First idle iterations, then the load. Every so many iterations the same group replays just these:
on each rank as much processor time in each turn as its program had taken there, and a bare
`Allgather` of the same width where it met the others. So the reference has the same slow ranks in
the same iterations, and sees the same machine, whoever else is using it.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter_ns, thread_time_ns

import msgspec
import numpy as np
from mpi4py import MPI

from adpkv.bench.stopwatch import FIRST_SITE, Iteration, Stopwatch
from adpkv.config import Experiment, load
from adpkv.core.rank_status import RankStatus
from adpkv.core.report import RankReport
from adpkv.executor.collectives import Collective
from adpkv.executor.messages import HOST, PAYLOADS
from adpkv.flight_recorder.quick import MISSED
from adpkv.flight_recorder.slot_layout import SLOT_BYTES
from adpkv.flight_recorder.writer import FlightRecorder
from adpkv.output import RunFolder
from adpkv.worlds.mpi.coordinator import CoordinatorHost
from adpkv.worlds.mpi.driver import guarded
from adpkv.worlds.mpi.exchange.opening import ExchangeMaker
from adpkv.worlds.mpi.group import CollectiveStats, Group
from adpkv.worlds.mpi.hosts import open_flight
from adpkv.worlds.mpi.mpi_yields import MpiYields
from adpkv.worlds.mpi.rank_process import RankProcess
from adpkv.worlds.mpi.signals import StopSignals
from adpkv.worlds.select_ports import chosen

__all__ = ["Asked", "Regime", "main"]

COORDINATOR_BOUND_S = 10.0
EVERY = 50
"""Iterations between two replays, of just these; the first ones do not count."""

ROUNDS = 20
"""Calls back to back after a replay."""


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
    """Processor time between the collectives, as the stopwatch says."""
    own_wall_us: list[float]
    met_us: list[float]
    """The rest of the iteration: what its collectives took."""
    operations: list[float]
    bare_us: list[float]
    """The same when the iterations are replayed with bare calls."""
    slotted_us: list[float]
    """One collective with its fingerprint and its record, back to back."""
    plain_us: list[float]
    """One bare one, likewise."""


class _Row(msgspec.Struct, frozen=True):
    """Microseconds of slotted and bare calls, after an iteration like `like`."""

    like: Iteration
    slotted_us: list[float]
    plain_us: list[float]


class _Replay:
    """The reference's program: at each turn as much processor time as this rank's own program took
    there, no more and no less."""

    def __init__(self, turns: Iterable[tuple[str, int]]) -> None:
        self._turns = iter(turns)

    def send(self, _: object) -> Collective:
        """Work, then meet at the site where the program met."""
        site, own_ns = next(self._turns)
        _spin(own_ns)
        return Collective(0, "", site, 0, None, None)


class _Beside:
    """The reference: bare calls of a group, between its iterations."""

    def __init__(
        self,
        group: MPI.Comm,
        look: Callable[[], tuple[int, int]],
        exchanges: ExchangeMaker,
        recorder: FlightRecorder,
        mpi_yields: MpiYields,
    ) -> None:
        slot = [bytearray(SLOT_BYTES), SLOT_BYTES, MPI.BYTE]
        landing = [bytearray(SLOT_BYTES * group.size), SLOT_BYTES, MPI.BYTE]
        self._bare: Callable[[], None] = lambda: group.Allgather(slot, landing)
        stats = CollectiveStats()
        operation = Group(
            group,
            0,
            range(group.size),
            types=PAYLOADS,
            has_input=lambda: False,
            stats=stats,
            exchange=exchanges.open(group, 0, 0),
            recorder=recorder,
        )
        quick = operation.quick
        collective = Collective(0, "tp_allgather", "bench", 0, None, RankStatus())

        def recorded() -> None:
            """As the driver does it."""
            if quick is not None and quick(collective) is not MISSED:
                return
            recorder.enter(collective, operation.sequence + 1, perf_counter_ns())
            operation.perform(collective)
            recorder.leave(perf_counter_ns(), operation.payload_bytes)

        self._slotted = recorded
        self._look, self._mpi_yields = look, mpi_yields
        self.replayed: list[Iteration] = []
        self.rows: list[_Row] = []

    def between(self, found: list[Iteration]) -> None:
        """Called between iterations: every `EVERY`th, the same one on all members, replay."""
        if len(found) % EVERY:
            return
        waiting = self._mpi_yields.waiting  # as in any program that waits inside MPI
        with waiting():
            self.replayed += self._replay(found[-EVERY:])
        slotted_us = _rounds_us(self._slotted)
        with waiting():
            self.rows.append(_Row(found[-1], slotted_us, _rounds_us(self._bare)))

    def _replay(self, found: Sequence[Iteration]) -> list[Iteration]:
        """The same iterations with bare calls, timed by the same stopwatch."""
        turns = [turn for one in found for turn in one.own.items()]
        program = _Replay([*turns, (FIRST_SITE, 0)])
        watch: Stopwatch[None] = Stopwatch(
            program,  # type: ignore[arg-type]
            self._look,
            lambda _: None,
        )
        for _ in turns:
            watch.send(None)
            self._bare()
        watch.send(None)
        return watch.iterations[:-1]


def _whole(found: Sequence[Iteration]) -> list[Iteration]:
    """The iterations with most collectives: with a step, if any has one."""
    most = max(len(i.own) for i in found)
    return [i for i in found if len(i.own) == most]


def _spin(work_ns: int) -> None:
    """Use so much processor time: time in which the process was preempted does not count."""
    until_ns = thread_time_ns() + work_ns
    while thread_time_ns() < until_ns:
        pass


def _rounds_us(call: Callable[[], object]) -> list[float]:
    """Microseconds that each of `ROUNDS` calls back to back takes."""
    took = []
    for _ in range(ROUNDS):
        began_ns = perf_counter_ns()
        call()
        took.append((perf_counter_ns() - began_ns) / 1e3)
    return took


class _Watched:
    """This rank's job with a stopwatch; rank 0 starts the coordinator when idling is over."""

    def __init__(self, asked: Asked, experiment: Experiment, world: MPI.Intracomm) -> None:
        self._idle_iterations = asked.idle_iterations
        folder = RunFolder(Path(asked.folder))
        flight = open_flight(world, experiment, folder.path)
        signals = StopSignals().install()
        ports = chosen(experiment, "mpi")
        self.job = RankProcess(experiment, world, folder, flight, signals, pulse=True, ports=ports)
        self.coordinator_host: CoordinatorHost | None = None
        if self.job.rank == HOST:
            self.coordinator_host = self.job.coordinator_host(lambda _: None, lambda *_: None)
        own = world.Split(self.job.instance.index, world.rank)
        self.beside = _Beside(
            own, self._look, self.job.exchanges(), flight.recorder, self.job.mpi_yields
        )
        self._watch: Stopwatch[tuple[RankReport, ...]] = Stopwatch(
            self.job.program.run(), self._look, self._between
        )

    def _between(self, found: list[Iteration]) -> None:
        self.beside.between(found)
        if self.coordinator_host is not None and len(found) == self._idle_iterations:
            self.coordinator_host.start()

    def _look(self) -> tuple[int, int]:
        serving = self.job.program.phases.rank.serving
        return serving.running(), serving.open_requests

    def run(self) -> list[Iteration]:
        """Serve to the end; all iterations but the last, which has no step."""
        gc.collect()
        self.job.begin()
        with self.job.running():
            self.job.driver.run(self._watch)  # type: ignore[arg-type]
        self.job.reports.watchdog.stop()
        if self.coordinator_host is not None:
            self.coordinator_host.close(COORDINATOR_BOUND_S)
        self.job.close()
        return self._watch.iterations[:-1]


def _medians(
    found: Sequence[Iteration], replayed: Sequence[Iteration], rows: Sequence[_Row]
) -> list[float]:
    """This rank's entries of a `Regime`; zeros if it was not in it."""
    if not found or not replayed or not rows:
        return [0.0] * len(Regime.__struct_fields__)
    whole = _whole(found)
    return [
        len(whole),
        median(sum(i.own.values()) for i in whole) / 1e3,
        median(i.own_wall_ns for i in whole) / 1e3,
        _met_us(whole),
        len(whole[0].own),
        _met_us(_whole(replayed)),
        median(took for row in rows for took in row.slotted_us),
        median(took for row in rows for took in row.plain_us),
    ]


def _met_us(found: Sequence[Iteration]) -> float:
    return median(i.wall_ns - sum(i.own.values()) for i in found) / 1e3


def _gathered(own: Sequence[float], world: MPI.Intracomm) -> Regime:
    told, landed = np.array(own), np.empty((world.size, len(own)))
    world.Allgather(told, landed)
    return Regime(*(column.tolist() for column in landed[landed[:, 0] > 0].T))


def _measured(asked: Asked, world: MPI.Intracomm) -> dict[str, Regime]:
    watched = _Watched(asked, load(Path(asked.experiment)), world)
    found = watched.run()[EVERY:]
    replayed, rows = watched.beside.replayed[EVERY:], watched.beside.rows[1:]

    def is_loaded(one: Iteration) -> bool:
        return one.active >= asked.least_active

    before = asked.idle_iterations - EVERY
    idle = [i for i in found[:before] if not i.open]
    return {
        "idle": _gathered(_medians(idle, replayed[:before], rows[: before // EVERY]), world),
        "loaded": _gathered(
            _medians(
                [i for i in found if is_loaded(i)],
                [i for i in replayed if is_loaded(i)],
                [row for row in rows if is_loaded(row.like)],
            ),
            world,
        ),
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
