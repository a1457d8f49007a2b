"""What the ranks of one host share without messages: the start of their clocks, and the directory
of their flight recorders."""

from __future__ import annotations

import faulthandler
import os
import signal
import socket
import sys
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter_ns
from typing import IO, Final, TypeVar

from mpi4py import MPI

from adpkv.config import Experiment
from adpkv.errors import UsageError
from adpkv.executor.ports import Clock
from adpkv.flight_recorder.board import Board
from adpkv.flight_recorder.job_directory import (
    SHARED,
    JobDirectory,
    JobInfo,
    new_job,
    no_place,
    ring_path,
    stacks_path,
    sweep,
)
from adpkv.flight_recorder.writer import FlightRecorder
from adpkv.worlds.mpi.agreement import first_problem, meet

__all__ = ["Flight", "job_clock", "open_flight"]

T = TypeVar("T")

TEXT_BYTES: Final = 4096


def job_clock() -> tuple[Clock, Callable[[MPI.Intracomm], None]]:
    """A clock in nanoseconds, and what starts it, which every rank must call with the world. Until
    then it stands at 0, as in virtual time: what is built before may read it, and takes the job's
    beginning for the present.

    All ranks of a machine use the same start, read once. If each read its own, they would be
    milliseconds apart where there are fewer cores than ranks, and `events.jsonl` would show effects
    before their causes. Between machines the starts differ by the skew of a barrier.
    """
    began_ns: int | None = None

    def clock() -> int:
        return 0 if began_ns is None else perf_counter_ns() - began_ns

    def start(world: MPI.Intracomm) -> None:
        nonlocal began_ns
        # One rank may come seconds after the others. To make a communicator is a collective, and
        # takes a core until the last one comes: so meet first. Then all leave at once.
        meet(world)
        node = world.Split_type(MPI.COMM_TYPE_SHARED)
        world.Barrier()
        began = bytearray(perf_counter_ns().to_bytes(8, "little"))
        node.Bcast([began, len(began), MPI.BYTE])
        began_ns = int.from_bytes(began, "little")
        node.Free()

    return clock, start


@dataclass(frozen=True, slots=True)
class Flight:
    """What records and watches one rank: its own flight recorder, and the board of its host's
    ranks."""

    folder: JobDirectory
    recorder: FlightRecorder
    board: Board
    stacks: IO[str]
    """The file into which SIGUSR1 makes this process write its Python stacks; it stays open."""


def open_flight(
    world: MPI.Intracomm, experiment: Experiment, folder: Path, job: str = ""
) -> Flight:
    """Start the flight recorder. Every rank must call it. `job` is the job's name, if its starter
    gave one.

    Raises:
        UsageError: a host has no place for it. All ranks raise the same.
    """
    node = world.Split_type(MPI.COMM_TYPE_SHARED)
    job = _broadcast_text(world, job or new_job())
    place, problem = None, ""
    if node.rank == 0:
        sweep()
        place, problem = _tried(SHARED, lambda: JobDirectory.create(job))
    path = _broadcast_text(node, str(place.path) if place else "")
    place = JobDirectory(Path(path))
    made = None
    if path:
        made, problem = _tried(SHARED, lambda: _made(place, world, experiment))
    problem = first_problem(world, problem)
    if problem or made is None:
        if path and node.rank == 0:
            place.remove()
        raise UsageError(problem)
    pids = array("i", bytes(2 * 4 * node.size))
    node.Allgather([array("i", [world.rank, os.getpid()]), 8, MPI.BYTE], [pids, 8, MPI.BYTE])
    ranks = dict(zip(pids[::2], pids[1::2], strict=True))
    if node.rank == 0:
        place.write_info(_note(job, experiment, folder, world.size, ranks))
    board = Board.open(place.path, list(ranks), world.rank)
    node.Barrier()  # a rank that leaves removes its ring: all must have opened the rings by then
    node.Free()
    return Flight(place, made[0], board, made[1])


def _made(
    place: JobDirectory, world: MPI.Intracomm, experiment: Experiment
) -> tuple[FlightRecorder, IO[str]]:
    """Create this rank's files."""
    recorder = FlightRecorder(
        ring_path(place.path, world.rank),
        rank=world.rank,
        size=world.size,
        host=socket.gethostname(),
        experiment=experiment.name,
        records=experiment.diagnosis.ring,
    )
    stacks = stacks_path(place.path, world.rank).open("a")
    # The handler is written in C, and works while C code holds the interpreter's lock.
    faulthandler.register(signal.SIGUSR1, stacks, all_threads=True)
    return recorder, stacks


def _note(
    job: str, experiment: Experiment, folder: Path, size: int, ranks: dict[int, int]
) -> JobInfo:
    argv = [Path(sys.argv[0]).name, *sys.argv[1:]]
    host = socket.gethostname()
    owner_pid = int(job.rpartition("-")[2])
    instances = {i.name: (int(i.first), i.ranks) for i in experiment.topology.build().instances}
    return JobInfo(job, owner_pid, str(folder), host, size, ranks, experiment.name, argv, instances)


def _tried(where: Path, make: Callable[[], T]) -> tuple[T | None, str]:
    """What `make` returned, or None; and the problem, or an empty text."""
    try:
        return make(), ""
    except UsageError as error:
        return None, str(error)
    except OSError as error:
        return None, str(no_place(Path(error.filename or where), error))


def _broadcast_text(ranks: MPI.Comm, text: str) -> str:
    """The first rank's text, on every rank."""
    data = bytearray(text.encode()[:TEXT_BYTES].ljust(TEXT_BYTES, b"\0"))
    ranks.Bcast([data, TEXT_BYTES, MPI.BYTE], 0)
    return data.rstrip(b"\0").decode()
