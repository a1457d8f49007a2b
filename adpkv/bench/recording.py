"""What the flight recorder costs a rank, which is always on: against the same loop without it.

The loop is the driver's around a collective that does nothing, so both times are small and their
difference is the recorder's. In a real iteration its code and memory have left the processor's
caches; `executor` shows what an iteration costs with all of it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter_ns

from adpkv.bench.figure import Figure, Target, figure
from adpkv.bench.measuring import without_collector
from adpkv.core.rank_status import RankStatus
from adpkv.errors import AdpkvError
from adpkv.executor.collectives import Collective
from adpkv.flight_recorder.job_directory import roots
from adpkv.flight_recorder.slot_layout import HEAD_BYTES, HEAD_WORDS, paired
from adpkv.flight_recorder.writer import FlightRecorder
from adpkv.worlds.mpi.call_site import AGAIN, CallSite

__all__ = ["recording"]

MOST_RECORD_US = 1.0
MOST_COLLECTIVE_US = 2.0
"""Issue 4, flight recorder."""

RECORDS = 4096
Loop = Callable[[int], None]


class _Collective:
    """A collective in which nothing changes, without MPI."""

    def __init__(self, folder: Path, members: int) -> None:
        self.op = Collective(0, "tp_allgather", "sync", 7, None, RankStatus())
        self._code = CallSite(self.op.kind, self.op.site, members, 0).code
        self._members = members
        self._memory = bytearray(HEAD_BYTES * members)
        for member in range(members):
            self._head_into(member * HEAD_BYTES)
        if not self.fingerprint(0):
            raise AdpkvError("bench recording: equal heads are not seen as equal")
        self.recorder = FlightRecorder(
            folder / "rank-0.ring", rank=0, size=1, host="", experiment="bench", records=RECORDS
        )

    def nothing(self, number: int) -> None:
        """What the loops are made of."""

    def fingerprint(self, number: int) -> bool:
        """Make this rank's head, and compare it with the others', as a group does."""
        self._head_into(0)
        return self._memory == self._memory[:HEAD_BYTES] * self._members

    def _head_into(self, at: int) -> None:
        HEAD_WORDS.pack_into(
            self._memory, at, AGAIN, paired(0, 0), 1, self.op.iteration, self._code, 0, 1
        )

    def bare(self, rounds: int) -> None:
        """The loop without anything."""
        meet = self.nothing
        for number in range(rounds):
            meet(number)

    def recorded(self, rounds: int) -> None:
        """With the recorder, as the driver has it."""
        self._recorded(rounds, self.nothing)

    def told(self, rounds: int) -> None:
        """With recorder and fingerprint."""
        self._recorded(rounds, self.fingerprint)

    def _recorded(self, rounds: int, meet: Callable[[int], object]) -> None:
        recorder, op = self.recorder, self.op
        for number in range(rounds):
            recorder.enter(op, number, perf_counter_ns())
            meet(number)
            recorder.leave(perf_counter_ns(), 0)

    def polled(self, rounds: int) -> None:
        """Polls that find nothing."""
        note = self.recorder.polled_nothing
        for number in range(rounds):
            self.nothing(number)
            note()


def recording(*, rounds: int = 20_000, repetitions: int = 21, members: int = 4) -> list[Figure]:
    """Records, collectives with their fingerprint, and polls that find nothing."""
    with tempfile.TemporaryDirectory(prefix="adpkv-bench-", dir=roots()[0]) as folder:
        operation = _Collective(Path(folder), members)
        loops = (operation.bare, operation.recorded, operation.told, operation.polled)
        took: list[list[float]] = [[] for _ in loops]
        with without_collector():
            for _ in range(repetitions):
                for loop, found in zip(loops, took, strict=True):
                    found.append(_each_us(loop, rounds))
    bare_us, record_us, collective_us, poll_us = map(median, took)
    return [
        _figure("per record", record_us, bare_us, MOST_RECORD_US, "two readings of the clock"),
        _figure(
            "per collective",
            collective_us,
            bare_us,
            MOST_COLLECTIVE_US,
            f"its record, and the fingerprint said and compared over {members} members",
        ),
        _figure("per empty poll", poll_us, bare_us, None, "counted only"),
    ]


def _figure(name: str, with_us: float, without_us: float, most: float | None, of: str) -> Figure:
    return figure(
        f"flight recorder, {name}",
        with_us - without_us,
        "µs",
        target=None if most is None else Target("value", "<=", most),
        note=f"{of}; the loop takes {with_us:.2f} µs with it, {without_us:.2f} without",
    )


def _each_us(loop: Loop, rounds: int) -> float:
    began_ns = perf_counter_ns()
    loop(rounds)
    return (perf_counter_ns() - began_ns) / rounds / 1e3
