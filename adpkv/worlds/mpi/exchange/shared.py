"""A group's exchange over shared memory: no member ever waits inside MPI.

Who waits looks at the lines of the others (`segment`): for a few microseconds without a pause, then
yielding its core between two looks; at once where ranks share cores. Every `ATTEND_NS` it looks for
what could end the wait: the segment's broken flag, which is set by whoever interrupts the members
(`break_off`), and an error of MPI, by which it learns of a rank failure itself. The same call lets
MPI move its other messages on, KV bytes too: nothing else does, as nobody waits in MPI.

A member that fails in the middle of a slot has not published it, so nobody reads it. A member that
stands still keeps the others waiting, as it does in MPI; the watchdog reports it.

With several hosts, the first member of each host exchanges the slots with the other hosts
(`host_links`) and publishes them to its host.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import accumulate
from os import sched_yield
from time import perf_counter_ns
from typing import Final

from mpi4py import MPI

from adpkv.worlds.mpi.exchange.host_links import HostLinks
from adpkv.worlds.mpi.exchange.segment import (
    ACROSS,
    BROKEN,
    LINE_BYTES,
    WINDOW_BYTES,
    WORD_BYTES,
    Segment,
)

__all__ = ["SharedExchange"]

LOOKS: Final = 300
"""So often a member looks at another's line before it yields: 10 to 15 µs. It holds the
interpreter's lock meanwhile, and other threads of this process wait; yielding releases it."""

ATTEND_NS: Final = 50_000
"""How often a waiting member looks after everything else."""


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
        self._index, self._links, self._watch = index, links, watch
        self.communicators = (watch, *(links.communicators if links else ()))
        self._own = layout.slot(0, index), layout.slot(1, index)
        self._all = layout.set(0), layout.set(1)
        self._published = layout.published(place)
        if hosts == 1 or links is not None:
            self._awaited = [layout.published(other) for other in range(layout.here)]
        else:
            self._awaited = [ACROSS]
        gap = LINE_BYTES - WORD_BYTES
        rounds = struct.Struct("@" + f"Q{gap}x" * (len(self._awaited) - 1) + "Q")
        self._rounds, self._rounds_at = rounds.unpack_from, self._awaited[0] * WORD_BYTES
        self._looks = 0 if crowded else LOOKS
        self._count = 0

    def slots(self, own: bytearray) -> bytes:
        """The slots of all members."""
        self._count = count = self._count + 1
        odd, memory = count & 1, self._memory
        memory[self._own[odd]] = own
        self._words[self._published] = count
        if self._rounds(memory, self._rounds_at) != (count,) * len(self._awaited):
            self._await(count)
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
            self._words[self._published] = count
            self._await(count)
            if self._links is not None:
                self._links.exchange_window(count, begins, begin, upto, self._attend)
                self._words[ACROSS] = count
            landed.append(self._memory[base : base + upto - begin])
        return b"".join(landed)

    def check(self) -> None:
        """Slots in shared memory are whole."""

    def break_off(self) -> None:
        """Interrupt the members of this host."""
        self._words[BROKEN] = 1

    def close(self) -> None:
        """Free the communicators. The memory goes with the last process that has it."""
        for communicator in self.communicators:
            communicator.Free()

    def _await(self, count: int) -> None:
        """Wait until all have published a round."""
        words, looks = self._words, range(self._looks)
        for at in self._awaited:
            for _ in looks:
                if words[at] >= count:
                    break
            else:
                self._await_one(at, count)

    def _await_one(self, at: int, count: int) -> None:
        words, due_ns = self._words, perf_counter_ns() + ATTEND_NS
        while words[at] < count:
            sched_yield()
            now_ns = perf_counter_ns()
            if now_ns >= due_ns:
                self._attend()
                due_ns = perf_counter_ns() + ATTEND_NS

    def _attend(self) -> None:
        """Look after everything but the lines.

        Raises:
            MPI.Exception: a rank has failed.
        """
        if self._words[BROKEN]:
            raise MPI.Exception(MPI.ERR_REVOKED)
        self._watch.Iprobe(MPI.ANY_SOURCE)
