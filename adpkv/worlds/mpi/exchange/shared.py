"""A group's exchange over shared memory: no member ever waits inside MPI.

Who waits looks at the heads of the others (`slot_layout`), and yields its core after some looks;
after each where ranks share cores. Every `ATTEND_NS` it looks for what could end the wait: the
segment's broken flag, which is set by whoever interrupts the members (`break_off`), and an error of
MPI, by which it learns of a rank failure itself. The same call lets MPI move its other messages on,
KV bytes too: nothing else does, as nobody waits in MPI.

A member that fails in the middle of a slot has not published it, so nobody reads it. A member that
stands still keeps the others waiting, as it does in MPI; the watchdog reports it. But a member in
another collective is seen by whoever waits beside it, even if a third one never comes.

With several hosts, the first member of each host exchanges the slots with the other hosts
(`host_links`) and publishes them to its host.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from os import sched_yield
from struct import Struct
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from mpi4py import MPI

from adpkv.flight_recorder.quick import RoundsState, quick
from adpkv.flight_recorder.slot_layout import (
    ENDED_WAIT,
    HEAD_WORDS,
    LONG_ROUND,
    ROUND,
    TAG_BYTES,
    TOLD_BYTES,
    WINDOW_BYTES,
    WORD_BYTES,
    Layout,
)
from adpkv.worlds.mpi.call_site import AGAIN, CallSite
from adpkv.worlds.mpi.exchange.host_links import HostLinks
from adpkv.worlds.mpi.exchange.over_mpi import told
from adpkv.worlds.mpi.exchange.segment import Segment

if TYPE_CHECKING:
    from adpkv.flight_recorder.quick import Quick

__all__ = ["SharedExchange"]

FIRST_LOOKS: Final = 100
LOOKS: Final = 40
"""So often a member looks at the heads of the others before it yields, first and then again and
again: about 10 µs each. It holds the interpreter's lock meanwhile, and other threads of this
process wait; yielding releases it."""

EACH_LOOKS: Final = 8
"""Of the first looks only one in so many asks whether all have come with something new."""

ATTEND_NS: Final = 50_000
"""How often a waiting member looks after everything else."""

OTHERS_NS: Final = 200_000_000
"""A member that has seen another one elsewhere waits so long for the rest of the group, so that the
report has them all, and then for what they call their places. The job is at its end anyway."""

_pack_head = HEAD_WORDS.pack_into


class _Column(NamedTuple):
    """`size` words of the memory, read at once by `read(memory, first)`."""

    read: Callable[[Any, int], tuple[int, ...]]
    first: int
    size: int

    @classmethod
    def of(cls, words: Sequence[int]) -> _Column:
        """These words, in ascending order."""
        gaps = (WORD_BYTES * (after - before - 1) for before, after in pairwise(words))
        form = "@Q" + "".join(f"{gap}xQ" for gap in gaps)
        return cls(Struct(form).unpack_from, words[0] * WORD_BYTES, len(words))


_Set = tuple[int, int, int, slice, slice]
"""Where a member writes and looks in the rounds of one parity: its own head and tail, the rounds of
those that it waits for, its own head as it reads it, all heads."""


class SharedExchange(RoundsState):
    """One member's end.

    Args:
        segment: of the group on this host.
        index: the member's number in the group.
        place: its number among those of this host.
        watch: a communicator of the group on which nothing is sent; it tells of rank failures.
        links: to the other hosts, on the first member of a host; None on others.
        hosts: how many there are.
        crowded: whether ranks share cores here.
    """

    name = "shared_memory"

    def __init__(
        self,
        segment: Segment,
        index: int,
        place: int,
        *,
        watch: MPI.Comm,
        links: HostLinks | None,
        hosts: int,
        crowded: bool,
    ) -> None:
        layout = self._layout = segment.layout
        self._memory, self._words = segment.memory, segment.words
        self._index, self._place, self._links, self._watch = index, place, links, watch
        self.communicators = (watch, *(links.communicators if links else ()))
        self._alone, self._crowded = hosts == 1, crowded
        self._looks = range(1 if crowded else LOOKS)
        # Heads from other hosts are received, in no order: only their host's line tells.
        self._first_looks = range(FIRST_LOOKS if self._alone and not crowded else 0)
        self._members = members = len(layout.ranks)
        self._tails = [[layout.tail(n, m).start for m in range(members)] for n in (0, 1)]
        self._line, self._across, self._broken = layout.line(place), layout.across, layout.broken
        lines = [layout.line(other) for other in range(len(layout.here))]
        self._waits = _Column.of([line + ENDED_WAIT for line in lines])
        if self._alone or links is not None:
            rounds = [_Column.of([layout.round(n, m) for m in layout.here]) for n in (0, 1)]
            self._long_rounds = _Column.of(lines)
        else:  # the first member of this host looks at the others, and says when they have come
            rounds = [_Column.of([layout.across + ROUND])] * 2
            self._long_rounds = _Column.of([layout.across])
        self._read_rounds, self._awaited = rounds[0].read, rounds[0].size
        self._sets = _sets(layout, index, [column.first for column in rounds])
        self._round = self._long_round = 0
        self._differs_since_ns = 0

    def slots(
        self,
        site: CallSite,
        changed: bytes,
        group: int,
        sequence: int,
        iteration: int,
        code: int,
        digest: int,
    ) -> bool:
        """Contribute a slot, and wait for those of the others."""
        self._round = number = self._round + 1
        memory, (own, tail, at, own_head, all_heads) = self._memory, self._sets[number & 1]
        looks = self._first_looks
        if changed:
            memory[tail : tail + len(changed)] = changed
        _pack_head(memory, own, site.tag, group, sequence, iteration, code, digest, number)
        # What all heads are if all are here, and nobody says anything new.
        quiet = memory[own_head] * self._members if looks and site.tag == AGAIN else b""
        for look in looks:
            # A copy has no order within itself. But the second is made after all of the first was
            # there, so if both are what they should be, they are whole.
            if memory[all_heads] == quiet and memory[all_heads] == quiet:
                site.heads = quiet
                return True
            if look % EACH_LOOKS == 1 and self._are_here(at, number):
                break  # and some say something new
        return self.go_on(site)

    def go_on(self, site: CallSite) -> bool:
        """This member's head is written: wait for those of the others."""
        number = self._round
        _, _, at, own_head, all_heads = self._sets[number & 1]
        if not self._have_come(at):
            site.heads = self._heads_so_far()
            return False
        if self._links is not None:
            self._links.exchange_slots(number, self._attend)
            self._words[self._across + ROUND] = number
        heads = site.heads = self._memory[all_heads]
        return site.tag == AGAIN and heads == self._memory[own_head] * self._members

    def quick(self, **known: Any) -> Quick | None:
        """Collectives in one call, where all members are here; `known` is the rest of what
        `flight_recorder.quick` wants. None without them."""
        if not self._alone:
            return None
        heads = (self._layout.heads(0).start, self._layout.heads(1).start)
        return quick(
            rounds=self,
            slots=self.slots,
            go_on=self.go_on,
            memory=self._memory,
            heads=heads,
            members=self._members,
            index=self._index,
            crowded=self._crowded,
            **known,
        )

    def tail(self, member: int, length: int) -> bytes:
        """The payload in a member's slot."""
        at = self._tails[self._round & 1][member]
        return self._memory[at : at + length]

    def payloads(self, own: bytes, lengths: Sequence[int]) -> bytes:
        """The payloads of all members, a window of them in each round."""
        begins = [0, *accumulate(lengths)]
        first, end = begins[self._index], begins[self._index + 1]
        landed = []
        for begin in range(0, begins[-1], WINDOW_BYTES):
            self._long_round = number = self._long_round + 1
            base, upto = self._layout.window(number), min(begin + WINDOW_BYTES, begins[-1])
            low, high = max(begin, first), min(upto, end)
            if low < high:
                at = base - begin
                self._memory[at + low : at + high] = own[low - first : high - first]
            word = LONG_ROUND + (number & 1)
            self._words[self._line + word] = number
            self._await(self._long_rounds.read, self._long_rounds.first + word * WORD_BYTES, number)
            if self._links is not None:
                self._links.exchange_window(number, begins, begin, upto, self._attend)
                self._words[self._across + word] = number
            landed.append(self._memory[base : base + upto - begin])
        return b"".join(landed)

    def places(self, own: bytes) -> Sequence[bytes]:
        """Each member of this host writes it down. Where all members are here or on other hosts, it
        is a round of payloads."""
        layout, words, members = self._layout, self._words, len(self._layout.ranks)
        if not self._alone and words[self._across + ROUND] == self._round:
            landed = self.payloads(told(own), [TOLD_BYTES] * members)
            return [landed[at : at + TOLD_BYTES] for at in range(0, len(landed), TOLD_BYTES)]
        self._memory[layout.told(self._place)] = told(own)
        found, until_ns = [b""] * members, perf_counter_ns() + OTHERS_NS
        for place, member in enumerate(layout.here):
            while self._has_come(member) and not found[member].strip(b"\0"):
                found[member] = self._memory[layout.told(place)]
                if perf_counter_ns() > until_ns:
                    break
                sched_yield()
        return found

    def woken(self, number: int) -> bool:
        """Has any member ended this wait? The first member of a host passes it on to the other
        hosts, or from them."""
        self._attend()
        if max(self._waits.read(self._memory, self._waits.first)) >= number:
            if self._links is not None:
                self._links.wake(number)
            return True
        if self._links is not None and self._links.woken(number):
            self._words[self._across + ENDED_WAIT] = number
        return self._words[self._across + ENDED_WAIT] >= number

    def wake(self, number: int) -> None:
        """End this wait for all members."""
        self._words[self._line + ENDED_WAIT] = number
        if self._links is not None:
            self._links.wake(number)

    def check(self) -> None:
        """Slots in shared memory are whole."""

    def break_off(self) -> None:
        """Interrupt the members of this host."""
        self._words[self._broken] = 1

    def close(self) -> None:
        """Free the communicators. The memory goes with the last process that has it, and its file
        with the job's directory."""
        if self._links is not None:
            self._links.close()
        for communicator in self.communicators:
            communicator.Free()

    def _are_here(self, at: int, number: int) -> bool:
        """Have all published this round of slots?"""
        return self._read_rounds(self._memory, at) == (number,) * self._awaited

    def _have_come(self, at: int) -> bool:
        """Wait until all have published this round of slots. False if some are in another
        collective meanwhile, and others do not come."""
        self._differs_since_ns = 0
        return self._await(self._read_rounds, at, self._round, self._differs)

    def _await(
        self,
        rounds: Callable[[Any, int], tuple[int, ...]],
        at: int,
        number: int,
        gives_up: Callable[[int], bool] = lambda now_ns: False,
    ) -> bool:
        """Look until all have come to a round, or this member gives up.

        Where ranks share cores, MPI yields too while it attends. So only one of both is done
        between two looks: who yields twice lets a turn go by in which it could have gone on.
        """
        memory, come, looks, due_ns = self._memory, (number,) * self._awaited, self._looks, 0
        while True:
            for _ in looks:
                if rounds(memory, at) == come:
                    return True
            now_ns = perf_counter_ns()
            due_ns = due_ns or now_ns + ATTEND_NS
            if now_ns < due_ns:
                sched_yield()
                continue
            self._attend()
            if gives_up(now_ns):
                return False
            due_ns = 0

    def _has_come(self, member: int) -> bool:
        """Has a member of this host published this round of slots?"""
        return self._words[self._layout.round(self._round, member)] == self._round

    def _differs(self, now_ns: int) -> bool:
        """Is a member of this host in another collective than this one, and has been so for a
        while? Its slot stays as it is until this member has gone on."""
        heads = [self._layout.head(self._round, m) for m in self._layout.here if self._has_come(m)]
        places = {self._memory[head.start + TAG_BYTES : head.stop] for head in heads}
        if len(places) < 2:
            self._differs_since_ns = 0
            return False
        self._differs_since_ns = self._differs_since_ns or now_ns
        return now_ns - self._differs_since_ns >= OTHERS_NS

    def _heads_so_far(self) -> bytes:
        """All heads of this round; zeros for members that have not come, or are on other hosts."""
        layout, heads = self._layout, self._layout.heads(self._round)
        found = bytearray(heads.stop - heads.start)
        for member in filter(self._has_come, layout.here):
            head = layout.head(self._round, member)
            found[head.start - heads.start : head.stop - heads.start] = self._memory[head]
        return bytes(found)

    def _attend(self) -> None:
        """Look after everything but the heads.

        Raises:
            MPI.Exception: a rank has failed.
        """
        if self._words[self._broken]:
            raise MPI.Exception(MPI.ERR_REVOKED)
        self._watch.Iprobe(MPI.ANY_SOURCE)


def _sets(layout: Layout, index: int, rounds: Sequence[int]) -> tuple[_Set, ...]:
    """Both sets of a member; `rounds` is where it looks for the rounds of the others."""
    return tuple(
        (layout.head(n, index).start, layout.tail(n, index).start, at, layout.head(n, index),
         layout.heads(n))
        for n, at in enumerate(rounds)
    )  # fmt: skip
