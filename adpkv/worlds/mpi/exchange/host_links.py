"""Exchanges the slots and payloads of one host with the other hosts: the part of its first member.

One message to each other host, and one from each. Slots are sent from the shared segment and
received into it, by requests that are prepared once for each set. All are polled, so a rank failure
is noticed while one waits, and nobody waits inside MPI.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os import sched_yield
from typing import Final

from mpi4py import MPI

from adpkv.worlds.mpi.exchange.segment import Segment
from adpkv.worlds.mpi.exchange.wakes import WakeMessages
from adpkv.worlds.mpi.mpi_yields import MpiYields

__all__ = ["HostLinks"]

SLOTS_TAG: Final = 1
WINDOW_TAG: Final = 2

POLLS: Final = 64
"""So often it polls before it yields its core between two polls; where ranks share cores, after
each. Where MPI yields in each poll it does not: a second yield between two looks would let a turn
go by."""

ATTEND_POLLS: Final = 64
"""Polls between two calls of `attend`."""


class HostLinks:
    """The links of this host's first member.

    Args:
        leaders: a communicator of the first members of all hosts; it is freed with the others.
        hosts: the members of each host, in the order of `leaders`.
        segment: of this host.
        crowded: whether ranks share cores here.
        mpi_yields: whether MPI gives the core away in a poll.
    """

    def __init__(
        self,
        leaders: MPI.Comm,
        hosts: Sequence[Sequence[int]],
        segment: Segment,
        *,
        crowded: bool,
        mpi_yields: MpiYields,
    ) -> None:
        waking = leaders.Dup()
        self.communicators = (leaders, waking)
        self._wakes = WakeMessages(waking)
        self.woken, self.wake = self._wakes.woken, self._wakes.wake
        self._leaders, self._hosts = leaders, hosts
        self._polls, self._mpi_yields = 0 if crowded else POLLS, mpi_yields
        self._own = leaders.rank
        self._others = [host for host in range(leaders.size) if host != leaders.rank]
        self._layout, self._memory = segment.layout, segment.memory
        self._sets = [self._prepared(number) for number in (0, 1)]

    def _prepared(self, number: int) -> list[MPI.Prequest]:
        """The requests of a set."""
        memory, requests = memoryview(self._memory), []
        for host in self._others:
            ours, theirs = self._slots_of(self._own, number), self._slots_of(host, number)
            requests.append(self._leaders.Recv_init([memory, 1, theirs], host, SLOTS_TAG))
            requests.append(self._leaders.Send_init([memory, 1, ours], host, SLOTS_TAG))
        return requests

    def _slots_of(self, host: int, number: int) -> MPI.Datatype:
        """The slots of a host's members in a set: heads, then tails."""
        layout, members = self._layout, self._hosts[host]
        parts = [part(number, member) for part in (layout.head, layout.tail) for member in members]
        lengths = [part.stop - part.start for part in parts]
        return MPI.BYTE.Create_hindexed(lengths, [part.start for part in parts]).Commit()

    def exchange_slots(self, number: int, attend: Callable[[], None]) -> None:
        """All slots of this host are in the set of round `number`: get the others'.

        Raises:
            MPI.Exception: a rank failure interrupted it.
        """
        requests = self._sets[number & 1]
        MPI.Prequest.Startall(requests)
        self._finish(requests, attend)

    def exchange_window(
        self,
        number: int,
        begins: Sequence[int],
        begin: int,
        end: int,
        attend: Callable[[], None],
    ) -> None:
        """This host's part of the window of round `number` is there: get the others'. The window is
        that of the bytes `begin` to `end` of all payloads together; `begins` says where each
        member's begins, and the end of the last.

        Raises:
            MPI.Exception: a rank failure interrupted it.
        """
        base = self._layout.window(number) - begin
        parts = [
            [
                slice(base + low, base + high)
                for member in members
                if (low := max(begin, begins[member])) < (high := min(end, begins[member + 1]))
            ]
            for members in self._hosts
        ]
        own = b"".join(self._memory[part] for part in parts[self._own])
        landings, requests = {}, []
        for host in self._others:
            size = sum(part.stop - part.start for part in parts[host])
            if size:
                landings[host] = landing = bytearray(size)
                requests.append(self._leaders.Irecv([landing, MPI.BYTE], host, WINDOW_TAG))
            if own:
                requests.append(self._leaders.Isend([own, MPI.BYTE], host, WINDOW_TAG))
        self._finish(requests, attend)
        for host, landing in landings.items():
            at = 0
            for part in parts[host]:
                size = part.stop - part.start
                self._memory[part] = landing[at : at + size]
                at += size

    def close(self) -> None:
        """Receive what is on its way. Every first member of a host must call it."""
        self._wakes.close()

    def _finish(self, requests: Sequence[MPI.Request], attend: Callable[[], None]) -> None:
        polls = 0
        while not MPI.Request.Testall(requests):
            polls += 1
            if polls > self._polls and not self._mpi_yields.on:
                sched_yield()
            if polls % ATTEND_POLLS == 0:
                attend()
