"""One group of ranks under MPI: its one collective, and what the kinds of collectives make of it.

Every small collective is the same `Allgather` of slots (`slots.py`) on a communicator that carries
nothing else; a second one carries what does not fit. `Step` runs the model's part and then joins
through the same primitive. `Wait` is no collective: each rank sleeps until something concerns it,
and wakes the others; whoever went elsewhere is seen at the next slot.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import perf_counter_ns
from typing import Any, Final
from zlib import crc32

from mpi4py import MPI

from adpkv.core.token_gaps import TokenGaps
from adpkv.errors import AdpkvError
from adpkv.executor.collectives import Collective, Elapsed, Operation, Pause, Step, Wait
from adpkv.executor.digest import PlanDigest
from adpkv.worlds.mpi.communicators import must_be_whole
from adpkv.worlds.mpi.recovery.positions import Custom, Echo
from adpkv.worlds.mpi.slots import (
    INLINE_BYTES,
    SLOT_BYTES,
    Header,
    PayloadCodec,
    SlotWriter,
    disagreement,
    inline_payload,
    long_lengths,
    read_bodies,
    says_again,
)
from adpkv.worlds.mpi.waiting import Waiter

__all__ = ["CollectiveStats", "Group"]

_IN_PLACE: Final = MPI.IN_PLACE  # the own slot is written where it would land

PLACE_TEXT_BYTES: Final = 96
"""Of a kind and a site, in the message of a mismatch."""


class CollectiveStats:
    """How many collectives this rank joined, and how long that took it, waiting included; and a
    digest of all its collectives, in their order. Slots see ranks in different collectives; what
    they cannot see, because it is none, the digests show when they are compared at the end."""

    __slots__ = (
        "before",
        "count",
        "gaps",
        "last_step_ns",
        "met",
        "mismatches",
        "total_ns",
        "trace",
    )

    def __init__(self) -> None:
        self.count = 0
        self.total_ns = 0
        self.mismatches = 0
        self.met = 0
        self.trace = 0
        self.before = 0
        """The trace without the last collective."""
        self.gaps = TokenGaps()
        self.last_step_ns = 0

    def note(self, place: bytes | memoryview) -> None:
        """This rank comes to a collective there."""
        self.met += 1
        self.before = self.trace
        self.trace = crc32(place, self.before)

    def stepped(self, op: Step, began_ns: int) -> None:
        """A step is over that began then."""
        now_ns = perf_counter_ns()
        if op.tokens:
            self.gaps.add_step(began_ns, now_ns, self.last_step_ns, op.tokens, op.waited)
        self.last_step_ns = now_ns

    def take_back(self) -> None:
        """The last collective was broken off: this rank comes to it again."""
        self.met -= 1
        self.trace = self.before

    def begin_anew(self) -> None:
        """a rank failure broke a collective in the middle: compare what comes after it."""
        self.met = self.trace = 0


class _Site:
    """One call site: this rank's slot, everybody's slots, and what they meant last time."""

    __slots__ = (
        "encoded",
        "gathered",
        "heard",
        "kind",
        "landed",
        "payload",
        "receive",
        "said",
        "slot",
        "values",
    )

    def __init__(self, kind: str, slot: SlotWriter, size: int, heard: range) -> None:
        self.kind = kind
        self.slot = slot
        self.heard = heard
        self.payload: Any = None
        self.encoded = b""
        self.landed = bytearray()
        """What the last second round brought."""
        self.gathered = slot.slots
        self.said: list[bytes] = [b""] * (1 + size)  # as `says_again` wants it
        self.values: list[Any] = [None] * len(heard)
        # Made once: mpi4py need not look at the buffer again on each call.
        self.receive = [self.gathered, SLOT_BYTES, MPI.BYTE]


class Group:
    """This rank's membership in one group.

    `communicator` is split into communicators of its own, so a group costs its members three;
    `sequence` is the number of the group's last collective;
    `ranks` are the world ranks of the members in order; `has_input` says whether something concerns
    this rank that a wait should end for; `clock` is the one that a pause's end is told by;
    `computed` is told when this rank's own part of a step is over.
    """

    def __init__(
        self,
        communicator: MPI.Comm,
        number: int,
        ranks: Sequence[int],
        *,
        types: Mapping[str, object],
        has_input: Callable[[], bool],
        stats: CollectiveStats,
        clock: Callable[[], int] = perf_counter_ns,
        computed: Callable[[int], None] = lambda now_ns: None,
        epoch: int = 0,
        sequence: int = 0,
    ) -> None:
        self._slots, self._wide = communicator.Dup(), communicator.Dup()
        self._ranks = tuple(ranks)
        self._index = communicator.rank
        self._leads = communicator.rank == 0
        self._codec = PayloadCodec(types)
        self._digest = PlanDigest()
        self._place = (number, epoch)
        self._size = communicator.size
        self._sites: dict[str, _Site] = {}
        self._computed = computed
        self.sequence = sequence
        """Of the last collective that was no pause."""
        self.custom_bytes = 0
        """The payload's, in the last collective."""
        self._stats = stats
        self._clock = clock
        waking = communicator.Dup()
        self._waiter = Waiter(waking, has_input)
        self.communicators = (self._slots, self._wide, waking)
        """All that a revoke must reach."""

    @property
    def leads(self) -> bool:
        """Whether this rank is the group's first."""
        return self._leads

    def perform(self, op: Operation) -> Any:
        """Meet the others as `op` says, and return what it says this rank gets.

        Raises:
            CollectiveMismatchError: the members stand in different collectives.
        """
        if isinstance(op, Pause):
            self.custom_bytes = 0
            return self._waiter.pause(op, self._clock)
        if isinstance(op, Collective):
            return self._join(op)
        if isinstance(op, Wait):
            self.sequence += 1
            self._note_wait(op)
            self.custom_bytes = 0
            self._waiter.wait(self.sequence, op.limit_ns)
            return Elapsed(0, op.iteration, op.plan)
        if isinstance(op, Step):
            began_ns = perf_counter_ns()
            op.run()
            self._computed(perf_counter_ns())
            self._meet(op, None, op.place[len(op.site) :])
            self._stats.stepped(op, began_ns)
            return Elapsed(1, op.iteration, op.plan)
        raise AdpkvError(f"a rank program awaited {type(op).__name__}, no collective of ranks")

    # -- when a rank has failed (`recovery`) -----------------------------------------------------

    @property
    def ranks(self) -> tuple[int, ...]:
        """The members, by their numbers in the experiment."""
        return self._ranks

    def step_back(self) -> None:
        """The collective that this rank came to last was broken off."""
        self.sequence -= 1
        self._stats.take_back()

    def pass_by(self, op: Wait) -> Elapsed:
        """A wait that is over for this rank before it began."""
        self.sequence += 1
        self._note_wait(op)
        return Elapsed(0, op.iteration, op.plan)

    def remembered(self, sequence: int) -> Custom | None:
        """What all members brought to a collective, if this rank still has it: each site keeps its
        last. None also for a wait, to which nobody brings anything."""
        for site in self._sites.values():
            if Header.read(site.gathered, self._index).sequence == sequence:
                return Custom(bytes(site.gathered), bytes(site.landed))
        return None

    def repeat(self, op: Operation, brought: Custom) -> Any:
        """Perform a collective that other members have completed, with what they saw there."""
        communicators = self._slots, self._wide
        self._slots = self._wide = Echo(brought)  # type: ignore[assignment]
        try:
            return self.perform(op)
        finally:
            self._slots, self._wide = communicators

    def _note_wait(self, op: Wait) -> None:
        self._stats.note(f"{op.kind} {op.site} {op.iteration}".encode())

    def close(self) -> None:
        """Give the communicators back; every member must come."""
        self._waiter.close()
        self._slots.Free()
        self._wide.Free()

    def _join(self, op: Collective) -> Any:
        leads = self._leads
        if op.kind == "tp_broadcast":
            if leads:
                self._meet(op, op.payload)
                return op.payload
            return self._meet(op, None)[0]
        values = self._meet(op, op.payload)
        if op.kind == "tp_gather":
            return tuple(values) if leads else None
        return tuple(values) if op.combine is None else op.combine(tuple(values))

    def _meet(self, op: Operation, payload: Any, rest: str = "") -> list[Any]:
        """The primitive: bring a payload, get those of the members that this rank listens to.
        `rest` is what must be equal beyond the site's name."""
        began = perf_counter_ns()
        self.sequence += 1
        stats = self._stats
        site = self._sites.get(op.site)
        if site is None or site.kind != op.kind:
            site = self._new_site(op)
        slot = site.slot
        if payload is not site.payload:
            site.payload = payload
            site.encoded = self._codec.encode(op.kind, payload)
            slot.carry(site.encoded)
        self.custom_bytes = len(site.encoded)
        slot.stand(self.sequence, op.iteration, self._digest(op.plan), rest)
        stats.note(slot.place)
        self._slots.Allgather(_IN_PLACE, site.receive)
        if not says_again(site.gathered, slot.at, site.said):
            self._take_in(op, site)
        stats.count += 1
        stats.total_ns += perf_counter_ns() - began
        return site.values

    def _new_site(self, op: Operation) -> _Site:
        """What a rank listens to: to the leader in a broadcast, to all in a gather if it leads."""
        if op.kind == "tp_broadcast":
            heard = range(1)
        elif op.kind == "step" or (op.kind == "tp_gather" and not self._leads):
            heard = range(0)
        else:
            heard = range(self._size)
        slots = bytearray(SLOT_BYTES * self._size)
        slot = SlotWriter(*self._place, op.kind, op.site, slots, self._index * SLOT_BYTES)
        site = self._sites[op.site] = _Site(op.kind, slot, self._size, heard)
        return site

    def _take_in(self, op: Operation, site: _Site) -> None:
        """Somebody says something new, or stands elsewhere. Payloads are frozen: a member that says
        what it said last time gives the same object."""
        bodies = read_bodies(site.gathered, site.slot.at)
        if bodies is None:
            must_be_whole(self._slots)
            places = self._places(op)
            self._stats.mismatches += 1
            raise disagreement(site.gathered, self._ranks, places)
        lengths = long_lengths(bodies)
        long = {} if lengths is None else self._second_round(site, lengths)
        decode = self._codec.decode
        for member in site.heard:
            body = bodies[member]
            if member in long:
                site.values[member] = decode(op.kind, long[member])
            elif body != site.said[1 + member]:
                site.values[member] = decode(op.kind, inline_payload(body))
        # What a long payload was is not kept: its body says no more than its length.
        said = [b"" if member in long else body for member, body in enumerate(bodies)]
        site.said = [b"", *said]

    def _places(self, op: Operation) -> list[str]:
        """What each member calls the collective it is in: those who disagree are all here, so they
        can still meet to say so."""
        own = f"{op.kind} at {op.place}".encode()[:PLACE_TEXT_BYTES].ljust(PLACE_TEXT_BYTES)
        landed = bytearray(PLACE_TEXT_BYTES * self._size)
        self._wide.Allgather([own, MPI.BYTE], [landed, PLACE_TEXT_BYTES, MPI.BYTE])
        must_be_whole(self._wide)
        return [
            landed[at : at + PLACE_TEXT_BYTES].decode(errors="replace").rstrip()
            for at in range(0, len(landed), PLACE_TEXT_BYTES)
        ]

    def _second_round(self, site: _Site, lengths: list[int]) -> dict[int, bytes]:
        """What did not fit, on its own communicator. The slots said who brings how much."""
        own = site.encoded if len(site.encoded) > INLINE_BYTES else b""
        landed = site.landed = bytearray(sum(lengths))
        self._wide.Allgatherv([own, len(own), MPI.BYTE], [landed, lengths, MPI.BYTE])
        must_be_whole(self._wide)
        found: dict[int, bytes] = {}
        at = 0
        for member, length in enumerate(lengths):
            if length:
                found[member] = bytes(landed[at : at + length])
                at += length
        return found
