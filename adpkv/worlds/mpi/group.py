"""One group of ranks under MPI: its one collective, and what the kinds of meetings make of it.

Every small collective is the same `Allgather` of slots (`slots.py`) on a communicator that carries
nothing else; a second one carries what does not fit. `Step` runs the model's part and then joins
through the same primitive. `Wait` is no collective: each rank naps until something concerns it, and
wakes the others; whoever went elsewhere is seen at the next slot.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import perf_counter_ns
from typing import Any

from mpi4py import MPI

from adpkv.errors import AdpkvError
from adpkv.executor.meetings import Join, Meeting, Step, Wait
from adpkv.worlds.mpi.slots import (
    HEADER_BYTES,
    INLINE_BYTES,
    SLOT_BYTES,
    Names,
    PayloadCodec,
    PlanDigest,
    SlotWriter,
    disagreement,
    read_lengths,
)
from adpkv.worlds.mpi.waiting import Waiter

__all__ = ["CollectiveStats", "Group"]


class CollectiveStats:
    """How many collectives this rank joined, and how long that took it, waiting included."""

    __slots__ = ("count", "mismatches", "total_ns")

    def __init__(self) -> None:
        self.count = 0
        self.total_ns = 0
        self.mismatches = 0


class Group:
    """This rank's membership in one group.

    `communicator` is split into communicators of its own, so a group costs its members three;
    `ranks` are the world ranks of the members in order; `news` says whether something concerns this
    rank that a wait should end for.
    """

    def __init__(
        self,
        communicator: MPI.Intracomm,
        number: int,
        ranks: Sequence[int],
        *,
        types: Mapping[str, object],
        news: Callable[[], bool],
        stats: CollectiveStats,
        epoch: int = 0,
    ) -> None:
        self._slots, self._wide = communicator.Dup(), communicator.Dup()
        self._ranks = tuple(ranks)
        self._leads = communicator.rank == 0
        self._names = Names()
        self._codec = PayloadCodec(types)
        self._digest = PlanDigest()
        self._writer = SlotWriter(number, epoch, self._names)
        self._gathered = bytearray(SLOT_BYTES * communicator.size)
        self._view = memoryview(self._gathered)
        # Made once: mpi4py need not look at the buffers again on each call.
        self._send = [self._writer.buffer, SLOT_BYTES, MPI.BYTE]
        self._receive = [self._gathered, SLOT_BYTES, MPI.BYTE]
        self._sequence = 0
        self._stats = stats
        self._waiter = Waiter(communicator.Dup(), news)

    @property
    def leads(self) -> bool:
        """Whether this rank is the group's first."""
        return self._leads

    def perform(self, op: Meeting) -> Any:
        """Meet the others as `op` says, and return what it says this rank gets.

        Raises:
            CollectiveMismatchError: the members stand in different collectives.
        """
        if isinstance(op, Join):
            return self._join(op)
        if isinstance(op, Step):
            op.run()
            self._meet(op, b"")
            return 1
        if isinstance(op, Wait):
            self._sequence += 1
            self._waiter.wait(self._sequence, op.limit_ns)
            return None
        raise AdpkvError(
            f"a rank program awaited {type(op).__name__}, which is no meeting of ranks"
        )

    def close(self) -> None:
        """Give the communicators back; every member must come."""
        self._waiter.close()
        self._slots.Free()
        self._wide.Free()

    def _join(self, op: Join) -> Any:
        kind = op.kind
        if kind == "tp_broadcast":
            found = self._meet(op, self._codec.encode(kind, op.payload) if self._leads else b"")
            return self._codec.decode(kind, found[0])
        found = self._meet(op, self._codec.encode(kind, op.payload))
        if kind == "tp_gather" and not self._leads:
            return None
        decode = self._codec.decode
        payloads = tuple([decode(kind, payload) for payload in found])
        return payloads if op.combine is None else op.combine(payloads)

    def _meet(self, op: Meeting, payload: bytes) -> list[memoryview]:
        """The primitive: bring a payload, get everybody's, in rank order, valid until the next."""
        began = perf_counter_ns()
        self._sequence += 1
        writer, stats = self._writer, self._stats
        writer.write(self._sequence, op.iteration, op.kind, op.site, self._digest(op.plan), payload)
        self._slots.Allgather(self._send, self._receive)
        lengths = read_lengths(self._gathered, len(self._ranks), writer.place)
        if lengths is None:
            stats.mismatches += 1
            raise disagreement(self._gathered, self._ranks, self._names)
        found = [
            self._view[at : at + length]
            for at, length in zip(
                range(HEADER_BYTES, len(self._gathered), SLOT_BYTES), lengths, strict=True
            )
        ]
        if max(lengths) > INLINE_BYTES:
            self._second_round(payload, lengths, found)
        stats.count += 1
        stats.total_ns += perf_counter_ns() - began
        return found

    def _second_round(self, payload: bytes, lengths: list[int], found: list[memoryview]) -> None:
        """What did not fit, on its own communicator. The slots said who brings how much."""
        counts = [length if length > INLINE_BYTES else 0 for length in lengths]
        if len(payload) <= INLINE_BYTES:
            payload = b""
        landed = bytearray(sum(counts))
        self._wide.Allgatherv([payload, len(payload), MPI.BYTE], [landed, counts, MPI.BYTE])
        view, at = memoryview(landed), 0
        for member, count in enumerate(counts):
            if count:
                found[member] = view[at : at + count]
                at += count
