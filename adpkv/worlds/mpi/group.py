"""One group of ranks under MPI: the primitive behind its collectives, and their kinds.

Every small collective is the same all-gather of slots (`slots.py`); payloads that do not fit follow
in a second round. How both travel is the group's `exchange`. `Step` runs the model's part and then
uses the same primitive. `Wait` is no collective: each rank sleeps until it has input, and
wakes the others, through the exchange too; a rank that is elsewhere is noticed at the next slot.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import perf_counter_ns
from typing import Any
from zlib import crc32

from mpi4py import MPI

from adpkv.core.token_gaps import TokenGaps
from adpkv.errors import AdpkvError
from adpkv.executor.collectives import Collective, Elapsed, Operation, Pause, Step, Wait
from adpkv.executor.digest import PlanDigest
from adpkv.flight_recorder.slot_layout import PLACE, SlotPlace
from adpkv.worlds.mpi.exchange.over_mpi import MpiExchange
from adpkv.worlds.mpi.exchange.port import Exchange
from adpkv.worlds.mpi.recovery.positions import Contributions, ReplayedCollective
from adpkv.worlds.mpi.slots import (
    INLINE_BYTES,
    PayloadCodec,
    code,
    disagreement,
    inline_payload,
    long_lengths,
    read_bodies,
    slot_body,
)
from adpkv.worlds.mpi.waiting import Waiter

__all__ = ["CollectiveStats", "Group"]


_pack_place = PLACE.pack


class CollectiveStats:
    """How many collectives this rank took part in, how long they took it, waiting included, and
    what shows when ranks were not in the same ones: how many, and a digest of its waits in order.
    Slots show ranks that are in different collectives. What slots cannot show, a wait elsewhere,
    the digests show when they are compared at the end."""

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
        """The digest without the last wait, or the same if no wait came last."""
        self.gaps = TokenGaps()
        self.last_step_ns = 0

    def waits(self, place: bytes) -> None:
        """This rank comes to a wait with this place."""
        self.met += 1
        self.before = self.trace
        self.trace = crc32(place, self.before)

    def stepped(self, op: Step, began_ns: int, ready_ns: int) -> None:
        """A step is over that began at `began_ns`, and in which this rank did nothing but wait from
        `ready_ns` on."""
        now_ns = perf_counter_ns()
        self.total_ns += now_ns - ready_ns
        if op.tokens:
            self.gaps.add_step(began_ns, now_ns, self.last_step_ns, op.tokens, op.waited)
        self.last_step_ns = now_ns

    def take_back(self) -> None:
        """The last collective or wait was interrupted: this rank will come to it again."""
        self.met -= 1
        self.trace = self.before

    def begin_anew(self) -> None:
        """A rank failure broke a collective in the middle: compare only what comes after it."""
        self.met = self.trace = 0


class _Site:
    """One call site: what this rank says there, and what all members have said, as of its last
    collective."""

    __slots__ = (
        "bodies",
        "body",
        "encoded",
        "gathered",
        "kind",
        "kind_code",
        "landed",
        "payload",
        "read_members",
        "site_code",
        "values",
    )

    def __init__(self, kind: str, site: str, size: int, read_members: range) -> None:
        self.kind = kind
        self.kind_code, self.site_code = code(kind), code(site)
        self.read_members = read_members
        self.payload: Any = None
        self.encoded = b""
        self.body = slot_body(b"")
        self.landed: bytes | bytearray = b""
        """The payloads of the last second round."""
        self.gathered = b""
        self.bodies: list[bytes] = [b""] * (1 + size)
        """Of all members, behind an empty text: a place that joins them gives all slots."""
        self.values: list[Any] = [None] * len(read_members)


class Group:
    """This rank's membership in one group.

    Args:
        communicator: of the members; it is duplicated into communicators of the group's own.
        number: the group's number.
        ranks: the world ranks of the members in order.
        types: the payload's type for each kind of collective.
        has_input: whether this rank has input that should end a wait.
        stats: counts the collectives of this rank.
        clock: the clock for the end of a pause, in nanoseconds.
        computed: called with the time when this rank's own part of a step is over.
        epoch: of the communicators; counts rank failures.
        sequence: the number of the group's last collective.
        exchange: what carries the collectives, on each member the same; MPI if None.
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
        exchange: Exchange | None = None,
    ) -> None:
        self._exchange = exchange or MpiExchange(communicator)
        self._ranks = tuple(ranks)
        self._index = communicator.rank
        self._leads = communicator.rank == 0
        self._codec = PayloadCodec(types)
        self._digest = PlanDigest()
        self._plan, self._plan_digest = None, 0  # as of the last collective
        self._place = (number, epoch)
        self._size = communicator.size
        self._sites: dict[str, _Site] = {}
        self._computed = computed
        self.sequence = sequence
        """The number of the last collective or wait."""
        self.payload_bytes = 0
        """The size of this rank's payload in the last collective."""
        self._stats = stats
        self._clock = clock
        self._waiter = Waiter(self._exchange, has_input)
        self.communicators = self._exchange.communicators
        """All that a revoke must reach."""
        self.break_off = self._exchange.break_off

    @property
    def leads(self) -> bool:
        """Whether this rank is the group's first."""
        return self._leads

    @property
    def carrier(self) -> str:
        """What carries the collectives."""
        return self._exchange.name

    def perform(self, op: Operation) -> Any:
        """Perform what the program awaits with the other members; returns its result for this rank.

        Raises:
            CollectiveMismatchError: the members are in different collectives.
        """
        if isinstance(op, Collective):
            return self._join(op)
        if isinstance(op, Pause):
            self.payload_bytes = 0
            return self._waiter.pause(op, self._clock)
        if isinstance(op, Wait):
            self.sequence += 1
            self._note_wait(op)
            self.payload_bytes = 0
            self._waiter.wait(self.sequence, op.limit_ns)
            return Elapsed(0, op.iteration, op.plan)
        if isinstance(op, Step):
            return self._step(op)
        raise AdpkvError(f"a rank program awaited {type(op).__name__}, which no group can perform")

    def _step(self, op: Step, *, computes: bool = True) -> Elapsed:
        """One forward step: this rank's part, then a collective in which all are done."""
        began_ns = perf_counter_ns()
        if computes:
            try:
                op.run()
            except MPI.Exception:
                # A rank failed in the middle of the model's own collectives. The step counts as
                # come to, so that `undo_last` has something to take back.
                self.sequence += 1
                self._stats.met += 1
                raise
        ready_ns = perf_counter_ns()
        if computes:
            self._computed(ready_ns)
        self._exchange_slots(op, None, op.place[len(op.site) :])
        self._stats.stepped(op, began_ns, ready_ns)
        return Elapsed(1, op.iteration, op.plan)

    # -- when a rank has failed (`recovery`) -----------------------------------------------------

    @property
    def ranks(self) -> tuple[int, ...]:
        """The members, by their world ranks in the experiment."""
        return self._ranks

    def undo_last(self) -> None:
        """The collective that this rank came to last was interrupted: it will come to it again."""
        self.sequence -= 1
        self._stats.take_back()

    def skip_wait(self, op: Wait) -> Elapsed:
        """Count a wait that other members have completed, without waiting."""
        self.sequence += 1
        self._note_wait(op)
        return Elapsed(0, op.iteration, op.plan)

    def contributions_to(self, sequence: int) -> Contributions | None:
        """What all members contributed to a collective, if this rank still has it: each call site
        keeps its last one. None also for a wait, to which nothing is contributed."""
        for site in self._sites.values():
            if site.gathered and SlotPlace.read(site.gathered, self._index).sequence == sequence:
                return Contributions(site.gathered, bytes(site.landed))
        return None

    def repeat(self, op: Operation, contributions: Contributions) -> Any:
        """Perform a collective that other members have completed, with what they received in it. Of
        a step that is its end only: a member has not come to it before all have computed."""
        exchange, self._exchange = self._exchange, ReplayedCollective(contributions)
        try:
            return self._step(op, computes=False) if isinstance(op, Step) else self.perform(op)
        finally:
            self._exchange = exchange

    def _note_wait(self, op: Wait) -> None:
        self._stats.waits(f"{op.kind} {op.site} {op.iteration}".encode())

    def close(self) -> None:
        """Free what the group has. Every member must call it."""
        self._exchange.close()

    def _join(self, op: Collective) -> Any:
        kind = op.kind
        if kind == "tp_broadcast":
            if self._leads:
                self._exchange_slots(op, op.payload)
                return op.payload
            return self._exchange_slots(op, None)[0]
        values = self._exchange_slots(op, op.payload)
        if kind == "tp_gather":
            return tuple(values) if self._leads else None
        combine = op.combine
        return tuple(values) if combine is None else combine(tuple(values))

    def _exchange_slots(self, op: Operation, payload: Any, rest: str = "") -> list[Any]:
        """The primitive: contribute a payload; returns the payloads of the members that this rank
        reads. `rest` is what must be equal beyond the site's name.

        Each rank does this some ten thousand times a second, so it is written for few steps: a
        place is packed, and where nothing has changed one comparison tells all.
        """
        self.sequence = sequence = self.sequence + 1
        site = self._sites.get(op.site)
        if site is None or site.kind != op.kind:
            site = self._new_site(op)
        if payload is not site.payload:
            site.payload = payload
            site.encoded = self._codec.encode(op.kind, payload)
            site.body = slot_body(site.encoded)
        self.payload_bytes = len(site.encoded)
        if op.plan is not self._plan:
            self._plan, self._plan_digest = op.plan, self._digest(op.plan)
        number, epoch = self._place
        place = _pack_place(
            number, epoch, sequence, op.iteration, site.kind_code,
            crc32(rest.encode(), site.site_code) if rest else site.site_code, self._plan_digest,
        )  # fmt: skip
        stats = self._stats
        stats.met += 1
        stats.before = stats.trace
        slots = site.gathered = self._exchange.slots(place + site.body)
        if slots != place.join(site.bodies):
            self._take_in(op, site, place)
        stats.count += 1
        return site.values

    def _new_site(self, op: Operation) -> _Site:
        """Which members' payloads a rank reads depends on the kind: the leader's in a broadcast,
        all in a gather on the leader, none in a step."""
        if op.kind == "tp_broadcast":
            read_members = range(1)
        elif op.kind == "step" or (op.kind == "tp_gather" and not self._leads):
            read_members = range(0)
        else:
            read_members = range(self._size)
        site = self._sites[op.site] = _Site(op.kind, op.site, self._size, read_members)
        return site

    def _take_in(self, op: Operation, site: _Site, place: bytes) -> None:
        """Some member's slot has changed, or it is in another collective. Payloads are frozen: a
        member with an unchanged body gives the same object as last time."""
        bodies = read_bodies(site.gathered, place)
        if bodies is None:
            self._exchange.check()
            places = self._places(op)
            self._stats.mismatches += 1
            raise disagreement(site.gathered, self._ranks, places)
        lengths = long_lengths(bodies)
        long = {} if lengths is None else self._second_round(site, lengths)
        decode = self._codec.decode
        for member in site.read_members:
            body = bodies[member]
            if member in long:
                site.values[member] = decode(op.kind, long[member])
            elif body != site.bodies[1 + member]:
                site.values[member] = decode(op.kind, inline_payload(body))
        # A long payload is not compared next time: its body has only its length.
        site.bodies = [b"", *(b"" if member in long else b for member, b in enumerate(bodies))]

    def _places(self, op: Operation) -> list[str]:
        """What each member calls the collective it is in, as far as it is known."""
        told = self._exchange.places(f"{op.kind} at {op.place}".encode())
        return [text.rstrip(b"\0").decode(errors="replace") for text in told]

    def _second_round(self, site: _Site, lengths: list[int]) -> dict[int, bytes]:
        """The payloads that did not fit. The slots have announced their lengths."""
        own = site.encoded if len(site.encoded) > INLINE_BYTES else b""
        landed = site.landed = self._exchange.payloads(own, lengths)
        found: dict[int, bytes] = {}
        at = 0
        for member, length in enumerate(lengths):
            if length:
                found[member] = bytes(landed[at : at + length])
                at += length
        return found
