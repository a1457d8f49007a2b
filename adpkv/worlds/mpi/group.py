"""One group of ranks under MPI: the primitive behind its collectives, and their kinds.

Every small collective is the same all-gather of slots (`slots.py`); payloads that do not fit follow
in a second round. How both travel is the group's `exchange`. `Step` runs the model's part and then
uses the same primitive. `Wait` is no collective: each rank sleeps until it has input, and
wakes the others, through the exchange too; a rank that is elsewhere is noticed at the next slot.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import accumulate
from time import perf_counter_ns
from typing import Any
from zlib import crc32

from mpi4py import MPI

from adpkv.core.token_gaps import TokenGaps
from adpkv.errors import AdpkvError
from adpkv.executor.collectives import Collective, Elapsed, Operation, Pause, Step, Wait
from adpkv.executor.digest import PlanDigest
from adpkv.flight_recorder.quick import CountsState, GroupState
from adpkv.flight_recorder.slot_layout import TAIL_BYTES, SlotPlace, paired
from adpkv.flight_recorder.writer import FlightRecorder
from adpkv.worlds.mpi.call_site import CallSite
from adpkv.worlds.mpi.exchange.over_mpi import MpiExchange
from adpkv.worlds.mpi.exchange.port import Exchange
from adpkv.worlds.mpi.exchange.shared import SharedExchange
from adpkv.worlds.mpi.recovery.positions import Contributions
from adpkv.worlds.mpi.slots import HeadReader, PayloadCodec, disagreement
from adpkv.worlds.mpi.waiting import Waiter

__all__ = ["CollectiveStats", "Group"]


class CollectiveStats(CountsState):
    """How many collectives this rank took part in, how long they took it, waiting included, and
    what shows when ranks were not in the same ones: how many, and a digest of its waits in order.
    Slots show ranks that are in different collectives. What slots cannot show, a wait elsewhere,
    the digests show when they are compared at the end."""

    __slots__ = (
        "_before",
        "_compared_from",
        "_waits",
        "gaps",
        "last_step_ns",
        "mismatches",
        "trace",
    )

    def __init__(self) -> None:
        self.count = 0
        self.total_ns = 0
        self.mismatches = 0
        self.trace = 0
        self.gaps = TokenGaps()
        self.last_step_ns = 0
        self._compared_from = self._waits = 0
        self._before = 0
        """The digest without the last wait."""

    @property
    def met(self) -> int:
        """How many collectives and waits are compared at the end."""
        return self.count - self._compared_from + self._waits

    def waits(self, place: bytes) -> None:
        """This rank comes to a wait with this place."""
        self._waits += 1
        self._before = self.trace
        self.trace = crc32(place, self._before)

    def stepped(self, op: Step, began_ns: int, ready_ns: int) -> None:
        """A step is over that began at `began_ns`, and in which this rank did nothing but wait from
        `ready_ns` on."""
        now_ns = perf_counter_ns()
        self.total_ns += now_ns - ready_ns
        if op.tokens:
            self.gaps.add_step(began_ns, now_ns, self.last_step_ns, op.tokens, op.waited)
        self.last_step_ns = now_ns

    def take_back_wait(self) -> None:
        """The last wait was interrupted: this rank will come to it again."""
        self._waits -= 1
        self.trace = self._before

    def begin_anew(self) -> None:
        """A rank failure broke a collective in the middle: compare only what comes after it."""
        self._compared_from, self._waits, self.trace = self.count, 0, 0


class Group(GroupState):
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
        recorder: records them; None if nobody does, or does more than that.
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
        recorder: FlightRecorder | None = None,
    ) -> None:
        self._exchange = exchange or MpiExchange(communicator)
        self._ranks = tuple(ranks)
        self._index = communicator.rank
        self._leads = communicator.rank == 0
        self._codec, self._reader = PayloadCodec(types), HeadReader(communicator.size)
        self._digest = PlanDigest()
        self._plan, self._plan_digest = None, 0  # as of the last collective
        self.number = number
        self._place = paired(number, epoch)
        self._size = communicator.size
        self._sites: dict[str, CallSite] = {}
        self._computed = computed
        self.sequence = sequence
        """The number of the last collective or wait."""
        self.payload_bytes = 0
        """The size of this rank's payload in the last collective."""
        self._last_wait = -1
        self._stats = stats
        self._clock = clock
        self._waiter = Waiter(self._exchange, has_input)
        self.communicators = self._exchange.communicators
        """All that a revoke must reach."""
        self.break_off = self._exchange.break_off
        self._slots: Callable[..., bool] = self._exchange.slots
        self.quick: Callable[[Operation], Any] | None = None
        """Performs an operation with its record, or returns `MISSED`; None if nothing does."""
        if recorder is not None and isinstance(self._exchange, SharedExchange):
            self._be_quick(self._exchange, recorder)

    def _be_quick(self, exchange: SharedExchange, recorder: FlightRecorder) -> None:
        self._rest = exchange.go_on
        found = exchange.quick(
            state=self,
            counts=self._stats,
            ring=recorder,
            sites=self._sites,
            names=recorder.sites,
            finish=self._go_on,
            types=(Collective, Step),
            stepped=self._stats.stepped,
            elapsed=Elapsed,
            interrupted=MPI.Exception,
            records=recorder.memory,
            bounds=recorder.bounds,
            group=self.number,
            place=self._place,
        )
        if found is not None:
            self._slots, self.quick = found.slots, found.perform

    def _go_on(self, op: Collective | Step) -> Any:
        """The rest of a collective in which this rank has written its head."""
        site = self._sites[op.site]
        if not self._rest(site):
            self._take_in(op, site)
        self._stats.count += 1
        combine = op.combine if isinstance(op, Collective) else None
        return site.result if combine is None else combine(site.result)

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
            speaks = self._leads or op.kind != "tp_broadcast"
            said = self._exchange_slots(op, op.payload if speaks else None)
            return said if op.combine is None else op.combine(said)
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

    def _step(self, op: Step) -> Elapsed:
        """One forward step: this rank's part, then a collective in which all are done."""
        began_ns = perf_counter_ns()
        try:
            op.run()
        except MPI.Exception:
            # A rank failed in the middle of the model's own collectives. The step counts as come
            # to, so that `undo_last` has something to take back.
            self.sequence += 1
            raise
        ready_ns = perf_counter_ns()
        self._computed(ready_ns)
        # The batch of a step is in its place where it must be equal.
        self._exchange_slots(op, None, "" if op.batch is None else op.place[len(op.site) :])
        self._stats.stepped(op, began_ns, ready_ns)
        return Elapsed(1, op.iteration, op.plan)

    # -- when a rank has failed (`recovery`) -----------------------------------------------------

    @property
    def ranks(self) -> tuple[int, ...]:
        """The members, by their world ranks in the experiment."""
        return self._ranks

    def undo_last(self) -> None:
        """The collective that this rank came to last was interrupted: it will come to it again."""
        if self._last_wait == self.sequence:
            self._stats.take_back_wait()
        self.sequence -= 1

    def skip_wait(self, op: Wait) -> Elapsed:
        """Count a wait that other members have completed, without waiting."""
        self.sequence += 1
        self._note_wait(op)
        return Elapsed(0, op.iteration, op.plan)

    def contributions_to(self, sequence: int) -> Contributions | None:
        """What all members contributed to a collective, if this rank still has it: each call site
        keeps its last one. None also for a wait, to which nothing is contributed."""
        for site in self._sites.values():
            if site.heads and SlotPlace.read(site.heads, self._index).sequence == sequence:
                return Contributions(site.heads, tuple(site.payloads))
        return None

    def repeat(self, op: Operation, contributions: Contributions) -> Any:
        """Complete the collective that was interrupted, with what others received in it: so this
        rank has contributed to it. Of a step that is its end only: it has computed before."""
        self.sequence += 1
        self._stats.count += 1
        site = self._sites[op.site]
        site.heads = contributions.heads
        new = self._reader.lengths_of_new(site.heads)
        payloads = {member: contributions.payloads[member] for member in new}
        site.hear(payloads, partial(self._codec.decode, op.kind))
        if isinstance(op, Collective):
            return site.result if op.combine is None else op.combine(site.result)
        assert isinstance(op, Step)
        ready_ns = perf_counter_ns()
        self._stats.stepped(op, ready_ns, ready_ns)
        return Elapsed(1, op.iteration, op.plan)

    def _note_wait(self, op: Wait) -> None:
        self._last_wait = self.sequence
        self._stats.waits(f"{op.kind} {op.site} {op.iteration}".encode())

    def close(self) -> None:
        """Free what the group has. Every member must call it."""
        self._exchange.close()

    def _exchange_slots(self, op: Operation, payload: Any, rest: str = "") -> Any:
        """The primitive: contribute a payload; returns the payloads that this rank reads
        (`CallSite.result`). `rest` is what must be equal beyond the site's name.

        Each rank does this some ten thousand times a second, so it is written for few steps: where
        nobody says anything new, all heads are the same.
        """
        self.sequence = sequence = self.sequence + 1
        site = self._sites.get(op.site)
        if site is None or site.kind != op.kind:
            site = CallSite(op.kind, op.site, self._size, self._index)
            self._sites[op.site] = site
        changed = b""
        if payload is not site.payload:
            changed = site.say(payload, self._codec.encode(op.kind, payload))
        self.payload_bytes = site.nbytes
        if op.plan is not self._plan:
            self._plan, self._plan_digest = op.plan, self._digest(op.plan)
        code = site.code_with(rest) if rest else site.code
        if not self._slots(
            site, changed, self._place, sequence, op.iteration, code, self._plan_digest
        ):
            self._take_in(op, site)
        self._stats.count += 1
        return site.result

    def _take_in(self, op: Operation, site: CallSite) -> None:
        """Some member says something new, or it is in another collective."""
        heads, exchange = site.heads, self._exchange
        if not self._reader.are_one(heads):
            exchange.check()
            places = self._places(op)
            self._stats.mismatches += 1
            raise disagreement(heads, self._ranks, places)
        lengths = self._reader.lengths_of_new(heads)
        long = {member: length for member, length in lengths.items() if length > TAIL_BYTES}
        payloads = {m: exchange.tail(m, n) for m, n in lengths.items() if n <= TAIL_BYTES}
        if long:
            payloads |= self._second_round(site, long)
        site.hear(payloads, partial(self._codec.decode, op.kind))

    def _places(self, op: Operation) -> list[str]:
        """What each member calls the collective it is in, as far as it is known."""
        told = self._exchange.places(f"{op.kind} at {op.place}".encode())
        return [text.rstrip(b"\0").decode(errors="replace") for text in told]

    def _second_round(self, site: CallSite, long: Mapping[int, int]) -> dict[int, bytes]:
        """The payloads that did not fit, of these lengths by member. The tags have announced
        them."""
        own = site.encoded if self._index in long else b""
        landed = self._exchange.payloads(own, [long.get(m, 0) for m in range(self._size)])
        ends = accumulate(long.values())
        parts = zip(long, long.values(), ends, strict=True)
        return {member: bytes(landed[end - length : end]) for member, length, end in parts}
