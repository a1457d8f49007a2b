"""One group of ranks under MPI: its one collective, and what the kinds of meetings make of it.

Every small collective is the same `Allgather` of slots (`slots.py`) on a communicator that carries
nothing else; a second one carries what does not fit. `Step` runs the model's part and then joins
through the same primitive. `Wait` is no collective: each rank naps until something concerns it, and
wakes the others; whoever went elsewhere is seen at the next slot.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import perf_counter_ns
from typing import Any, Final

from mpi4py import MPI

from adpkv.errors import AdpkvError
from adpkv.executor.meetings import Join, Meeting, Passage, Step, Wait
from adpkv.worlds.mpi.slots import (
    INLINE_BYTES,
    SLOT_BYTES,
    Names,
    PayloadCodec,
    PlanDigest,
    SlotWriter,
    disagreement,
    inline_payload,
    long_lengths,
    read_bodies,
)
from adpkv.worlds.mpi.waiting import Waiter

__all__ = ["CollectiveStats", "Group"]

PLACE_TEXT_BYTES: Final = 96
"""Of a kind and a site, in the message of a mismatch."""


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
        communicator: MPI.Comm,
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
        self._codec = PayloadCodec(types)
        self._digest = PlanDigest()
        writer = SlotWriter(number, epoch, Names())
        self._slot, self._write = writer.buffer, writer.write
        self._size = communicator.size
        self._gathered = bytearray(SLOT_BYTES * self._size)
        self._long: dict[int, bytes] = {}
        self._said: dict[str, tuple[list[bytes], list[Any]]] = {}
        """By kind: the body of each member's last slot, and what it meant."""
        # Made once: mpi4py need not look at the buffers again on each call.
        self._send = [self._slot, SLOT_BYTES, MPI.BYTE]
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
        kind = op.kind
        if kind == "wait" and isinstance(op, Wait):
            self._sequence += 1
            self._waiter.wait(self._sequence, op.limit_ns)
            return Passage(0, op.iteration, op.plan)
        if kind == "step" and isinstance(op, Step):
            op.run()
            self._meet(op, b"")
            return Passage(1, op.iteration, op.plan)
        if not isinstance(op, Join):
            raise AdpkvError(f"a rank program awaited {type(op).__name__}, no meeting of ranks")
        return self._join(op)

    def close(self) -> None:
        """Give the communicators back; every member must come."""
        self._waiter.close()
        self._slots.Free()
        self._wide.Free()

    def _join(self, op: Join) -> Any:
        kind, leads, codec = op.kind, self._leads, self._codec
        speaks = leads or kind != "tp_broadcast"
        bodies = self._meet(op, codec.encode(kind, op.payload) if speaks else b"")
        if kind == "tp_broadcast":
            if leads:
                return op.payload
            return codec.nothing(kind) if bodies is None else self._decoded(kind, bodies[:1])[0]
        if kind == "tp_gather" and not leads:
            return None
        payloads = (op.payload,) * self._size if bodies is None else self._decoded(kind, bodies)
        return payloads if op.combine is None else op.combine(payloads)

    def _decoded(self, kind: str, bodies: list[bytes]) -> tuple[Any, ...]:
        """Payloads are frozen: a member that says what it said last time gives the same object."""
        if kind not in self._said:
            self._said[kind] = ([b""] * self._size, [None] * self._size)
        said, values = self._said[kind]
        for member, body in enumerate(bodies):
            if body != said[member]:
                payload = self._long.pop(member, None)
                # What a long payload was is not kept: its body says no more than its length.
                said[member] = body if payload is None else b""
                values[member] = self._codec.decode(kind, payload or inline_payload(body))
        return tuple(values[: len(bodies)])

    def _meet(self, op: Meeting, payload: bytes) -> list[bytes] | None:
        """The primitive: bring a payload, get the bodies of everybody's slots in rank order, and
        in `_long` the payloads that were too long for them. None if all said the same as this
        rank, which in a quiet group is most of the time."""
        began = perf_counter_ns()
        self._sequence += 1
        stats, slot, gathered = self._stats, self._slot, self._gathered
        self._write(self._sequence, op.iteration, op.kind, op.site, self._digest(op.plan), payload)
        self._slots.Allgather(self._send, self._receive)
        bodies = None
        if gathered != slot * self._size or len(payload) > INLINE_BYTES:
            bodies = read_bodies(gathered, slot)
            if bodies is None:
                stats.mismatches += 1
                raise disagreement(gathered, self._ranks, self._places(op))
            lengths = long_lengths(bodies)
            self._long = {} if lengths is None else self._second_round(payload, lengths)
        stats.count += 1
        stats.total_ns += perf_counter_ns() - began
        return bodies

    def _places(self, op: Meeting) -> list[str]:
        """What each member calls the collective it is in: those who disagree are all here, so they
        can still meet to say so."""
        own = f"{op.kind} at {op.site}".encode()[:PLACE_TEXT_BYTES].ljust(PLACE_TEXT_BYTES)
        landed = bytearray(PLACE_TEXT_BYTES * self._size)
        self._wide.Allgather([own, MPI.BYTE], [landed, PLACE_TEXT_BYTES, MPI.BYTE])
        return [
            landed[at : at + PLACE_TEXT_BYTES].decode(errors="replace").rstrip()
            for at in range(0, len(landed), PLACE_TEXT_BYTES)
        ]

    def _second_round(self, payload: bytes, lengths: list[int]) -> dict[int, bytes]:
        """What did not fit, on its own communicator. The slots said who brings how much."""
        own = payload if len(payload) > INLINE_BYTES else b""
        landed = bytearray(sum(lengths))
        self._wide.Allgatherv([own, len(own), MPI.BYTE], [landed, lengths, MPI.BYTE])
        found: dict[int, bytes] = {}
        at = 0
        for member, length in enumerate(lengths):
            if length:
                found[member] = bytes(landed[at : at + length])
                at += length
        return found
