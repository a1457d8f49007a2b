"""A group's exchange over shared memory: no member ever waits inside MPI.

Who waits looks at the lines of the others (`segment`): for a few microseconds without a pause, then
yielding its core between two looks; at once where ranks share cores. Every `ATTEND_NS` it looks for
what could end the wait: the segment's broken flag, which is set by whoever interrupts the members
(`break_off`), and an error of MPI, by which it learns of a rank failure itself. The same call lets
MPI move its other messages on, KV bytes too: nothing else does, as nobody waits in MPI.

A member that fails in the middle of a slot has not published it, so nobody reads it. A member that
stands still keeps the others waiting, as it does in MPI; the watchdog reports it. But a member in
another collective is seen by whoever waits beside it, even if a third one never comes.

With several hosts, the first member of each host exchanges the slots with the other hosts
(`host_links`) and publishes them to its host.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from itertools import accumulate
from os import sched_yield
from time import perf_counter_ns
from typing import Any, Final

from mpi4py import MPI

from adpkv.flight_recorder.slot_layout import (
    ACROSS,
    BROKEN,
    LINE_BYTES,
    SLOT_BYTES,
    TOLD_BYTES,
    WINDOW_BYTES,
    WOKEN,
    WORD_BYTES,
)
from adpkv.worlds.mpi.exchange.host_links import HostLinks
from adpkv.worlds.mpi.exchange.over_mpi import told
from adpkv.worlds.mpi.exchange.segment import Segment
from adpkv.worlds.mpi.slots import PLACE_BYTES

__all__ = ["SharedExchange"]

LOOKS: Final = 300
"""So often a member looks at another's line before it yields: 10 to 15 µs. It holds the
interpreter's lock meanwhile, and other threads of this process wait; yielding releases it."""

ATTEND_NS: Final = 50_000
"""How often a waiting member looks after everything else."""

OTHERS_NS: Final = 200_000_000
"""A member that has seen another one elsewhere waits so long for the rest of the group, so that the
report has them all, and then for what they call their places. The job is at its end anyway."""


def _never(count: int, now_ns: int) -> bool:
    return False


class SharedExchange:
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
        self._own = layout.slot(0, index), layout.slot(1, index)
        self._all = layout.set(0), layout.set(1)
        self._published = layout.published(place)
        self._here = [layout.published(other) for other in range(len(layout.here))]
        self._alone = hosts == 1
        self._awaited = self._here if self._alone or links is not None else [ACROSS]
        self._rounds, self._rounds_at = self._column(self._awaited)
        self._waits, self._waits_at = self._column([at + WOKEN for at in self._here])
        self._looks = 0 if crowded else LOOKS
        self._count = 0
        self._differs_since_ns = 0

    def _column(self, words: Sequence[int]) -> tuple[Any, int]:
        """What reads these words, one of each line, and from which byte on."""
        gap = LINE_BYTES - WORD_BYTES
        column = struct.Struct("@" + f"Q{gap}x" * (len(words) - 1) + "Q")
        return column.unpack_from, self._layout.first_line + words[0] * WORD_BYTES

    def slots(self, own: bytes) -> bytes:
        """The slots of all members."""
        self._count = count = self._count + 1
        odd, memory = count & 1, self._memory
        memory[self._own[odd]] = own
        self._words[self._published] = count
        all_here = (count,) * len(self._awaited)
        if self._rounds(memory, self._rounds_at) != all_here and not self._have_come(count):
            return self._slots_so_far(count)
        if self._links is not None:
            self._links.exchange_slots(count, self._attend)
            self._words[ACROSS] = count
        return memory[self._all[odd]]

    def payloads(self, own: bytes, lengths: Sequence[int]) -> bytes:
        """The payloads of all members, a window of them in each round."""
        begins = [0, *accumulate(lengths)]
        first, end = begins[self._index], begins[self._index + 1]
        landed = []
        for begin in range(0, begins[-1], WINDOW_BYTES):
            self._count = count = self._count + 1
            base, upto = self._layout.window(count), min(begin + WINDOW_BYTES, begins[-1])
            low, high = max(begin, first), min(upto, end)
            if low < high:
                at = base - begin
                self._memory[at + low : at + high] = own[low - first : high - first]
            # For whoever reads along: the last slot is in the set of the last round.
            self._memory[self._own[count & 1]] = self._memory[self._own[1 - (count & 1)]]
            self._words[self._published] = count
            self._await(count)
            if self._links is not None:
                self._links.keep_slots(count)
                self._links.exchange_window(count, begins, begin, upto, self._attend)
                self._words[ACROSS] = count
            landed.append(self._memory[base : base + upto - begin])
        return b"".join(landed)

    def places(self, own: bytes) -> Sequence[bytes]:
        """Each member of this host writes it down. Where all members are here or on other hosts, it
        is a round of payloads."""
        count, words, members = self._count, self._words, len(self._layout.ranks)
        if not self._alone and words[ACROSS] >= count:
            landed = self.payloads(told(own), [TOLD_BYTES] * members)
            return [landed[at : at + TOLD_BYTES] for at in range(0, len(landed), TOLD_BYTES)]
        self._memory[self._layout.told(self._place)] = told(own)
        found, until_ns = [b""] * members, perf_counter_ns() + OTHERS_NS
        for place, member in enumerate(self._layout.here):
            while words[self._here[place]] == count and not found[member].strip(b"\0"):
                found[member] = self._memory[self._layout.told(place)]
                if perf_counter_ns() > until_ns:
                    break
                sched_yield()
        return found

    def woken(self, number: int) -> bool:
        """Has any member ended this wait? The first member of a host passes it on to the other
        hosts, or from them."""
        self._attend()
        if max(self._waits(self._memory, self._waits_at)) >= number:
            if self._links is not None:
                self._links.wake(number)
            return True
        if self._links is not None and self._links.woken(number):
            self._words[ACROSS + WOKEN] = number
        return self._words[ACROSS + WOKEN] >= number

    def wake(self, number: int) -> None:
        """End this wait for all members."""
        self._words[self._published + WOKEN] = number
        if self._links is not None:
            self._links.wake(number)

    def check(self) -> None:
        """Slots in shared memory are whole."""

    def break_off(self) -> None:
        """Interrupt the members of this host."""
        self._words[BROKEN] = 1

    def close(self) -> None:
        """Free the communicators. The memory goes with the last process that has it, and its file
        with the job's directory."""
        if self._links is not None:
            self._links.close()
        for communicator in self.communicators:
            communicator.Free()

    def _have_come(self, count: int) -> bool:
        """Wait until all have published a round of slots. False if some are in another collective
        meanwhile, and others do not come."""
        self._differs_since_ns = 0
        return self._await(count, self._differs)

    def _await(self, count: int, gives_up: Callable[[int, int], bool] = _never) -> bool:
        """Wait until all have published a round, or this member gives up."""
        words, looks = self._words, range(self._looks)
        for at in self._awaited:
            for _ in looks:
                if words[at] >= count:
                    break
            else:
                if not self._await_one(at, count, gives_up):
                    return False
        return True

    def _await_one(self, at: int, count: int, gives_up: Callable[[int, int], bool]) -> bool:
        words, due_ns = self._words, perf_counter_ns() + ATTEND_NS
        while words[at] < count:
            sched_yield()
            now_ns = perf_counter_ns()
            if now_ns >= due_ns:
                self._attend()
                if gives_up(count, now_ns):
                    return False
                due_ns = perf_counter_ns() + ATTEND_NS
        return True

    def _differs(self, count: int, now_ns: int) -> bool:
        """Is a member of this host in another collective than this one, and has been so for a
        while? Its slot stays as it is until this member has gone on."""
        first = [self._layout.slot(count, member).start for member in self._layout.here]
        places = {
            self._memory[begin : begin + PLACE_BYTES]
            for begin, at in zip(first, self._here, strict=True)
            if self._words[at] >= count
        }
        if len(places) < 2:
            self._differs_since_ns = 0
            return False
        self._differs_since_ns = self._differs_since_ns or now_ns
        return now_ns - self._differs_since_ns >= OTHERS_NS

    def _slots_so_far(self, count: int) -> bytes:
        """All slots of a round; zeros for members that have not come, or are on other hosts."""
        found = bytearray(self._layout.set_bytes)
        for at, member in zip(self._here, self._layout.here, strict=True):
            if self._words[at] >= count:
                begin = member * SLOT_BYTES
                slot = self._layout.slot(count, member)
                found[begin : begin + SLOT_BYTES] = self._memory[slot]
        return bytes(found)

    def _attend(self) -> None:
        """Look after everything but the lines.

        Raises:
            MPI.Exception: a rank has failed.
        """
        if self._words[BROKEN]:
            raise MPI.Exception(MPI.ERR_REVOKED)
        self._watch.Iprobe(MPI.ANY_SOURCE)
