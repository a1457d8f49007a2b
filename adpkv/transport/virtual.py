"""The link in virtual time: a latency, and a bandwidth that a rank's transfers share fairly.

Each sender has one link (`virtual_link`), of which only the next end is ever in the event queue.
When a rank has failed, each living end of a transfer with it loses its peer at once, and has proof
after one latency: what was on the wire has landed by then, and nothing follows it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from adpkv.core.ids import SOON_NS, SessionId
from adpkv.core.inbox_age import InboxAge
from adpkv.memory.virtual import LedgerMemory
from adpkv.transport.port import EndKind, Proof, Transfer, TransportEnd
from adpkv.transport.virtual_link import Link

__all__ = ["Network", "Timetable", "VirtualTransport"]

_NOTHING: list[TransportEnd] = []


class Timetable(Protocol):
    """What the network needs of a world: a clock, later calls, and somebody to tell."""

    def clock(self) -> int:
        """Nanoseconds of virtual time."""
        ...

    def later(self, at_ns: int, owner: int, action: Callable[[Any], None], what: Any) -> None:
        """Do `action(what)` at `at_ns`; `owner` orders simultaneous ones."""
        ...

    def arrival(self, rank: int) -> None:
        """Something ended for a rank."""
        ...


class _Broken(NamedTuple):
    """What a rank failure has broken, until it is fenced."""

    begun: list[Transfer]
    """Flows of the failed rank's."""
    awaited: list[Transfer]
    """What living ranks expect of it, the former included."""
    sent: list[Transfer]
    """Flows of living ranks to it."""


class Network:
    """All links, and who expects what."""

    def __init__(
        self, ranks: int, latency_ns: int, bandwidth_bytes_per_s: int, timetable: Timetable
    ) -> None:
        self._latency_ns = max(latency_ns, SOON_NS)
        self._bandwidth = bandwidth_bytes_per_s
        self._timetable = timetable
        self._links: dict[int, Link] = {}
        self.failed: set[int] = set()
        self._flows_of = [0] * ranks
        """Flows that a rank sends or receives now."""
        self._moved_ns = [0] * ranks
        self._ends: list[VirtualTransport | None] = [None] * ranks

    def end(
        self,
        rank: int,
        memory: LedgerMemory,
        inbox_age: InboxAge | None = None,
        reading: Callable[[int], int] = int,
    ) -> VirtualTransport:
        """A rank's end of the transport; `inbox_age` follows how long what ended is not polled,
        `reading` is what the rank's clock reads at a time of the world."""
        transport = VirtualTransport(self, rank, memory, inbox_age, reading)
        self._ends[rank] = transport
        return transport

    def begin(self, transfer: Transfer) -> None:
        """A flow joins its sender's link."""
        sender, now_ns = transfer.sender, self._timetable.clock()
        if transfer.receiver in self.failed:
            # Not at once: a rank that is quiet learns of it when it is woken, and no earlier.
            self._timetable.later(now_ns + SOON_NS, sender, self._refused, transfer)
            return
        link = self._links.get(sender)
        if link is None:
            link = self._links[sender] = Link(self._bandwidth)
        link.join(transfer, now_ns)
        self._count(transfer, 1)
        self._plan(sender, link)
        # That bytes move is input for whoever is ill for want of movement (contract 4.2).
        self._timetable.arrival(transfer.receiver)

    def stop(self, rank: int, session: SessionId) -> None:
        """The sender posts no more: what is on the wire still lands, then the flow is over."""
        for transfer in self._cut(rank, lambda flow: flow.session == session):
            at_ns = self._timetable.clock() + self._latency_ns
            self._timetable.later(at_ns, rank, self._stopped, transfer)

    def handle_peer_failure(self, rank: int) -> None:
        """The rank has failed, and its peers hear of it. Its blocks are nobody's any more: nothing
        is written there."""
        self.failed.add(rank)
        self._ends[rank] = None
        begun = self._cut(rank, lambda _: True)
        awaited = [t for end in self._ends if end is not None for t in end.expected_from(rank)]
        sent = [
            transfer
            for sender in sorted(self._links)
            for transfer in self._cut(sender, lambda flow: flow.receiver == rank)
        ]
        detail = f"rank {rank} has failed"
        for peer, transfer in _living(awaited, sent):
            self._tell(peer, TransportEnd(transfer.session, EndKind.LOST, detail=detail))
        at_ns = self._timetable.clock() + self._latency_ns
        self._timetable.later(at_ns, rank, self._fenced, _Broken(begun, awaited, sent))

    def moved_ns(self, rank: int) -> int:
        """When a byte last moved to or from the rank."""
        return self._timetable.clock() if self._flows_of[rank] else self._moved_ns[rank]

    def now_ns(self) -> int:
        """The world's clock."""
        return self._timetable.clock()

    def _count(self, transfer: Transfer, change: int) -> None:
        for rank in (transfer.sender, transfer.receiver):
            self._flows_of[rank] += change
            self._moved_ns[rank] = self._timetable.clock()

    def _cut(self, sender: int, which: Callable[[Transfer], bool]) -> list[Transfer]:
        """Some of a sender's flows leave its link."""
        link = self._links.get(sender)
        cut = link.leave(which, self._timetable.clock()) if link is not None else []
        if link is not None and cut:
            for transfer in cut:
                self._count(transfer, -1)
            self._plan(sender, link)
        return cut

    def _plan(self, rank: int, link: Link) -> None:
        link.version += 1
        at_ns = link.next_ns()
        if at_ns is not None:
            self._timetable.later(at_ns, rank, self._due, (rank, link.version))

    def _due(self, what: tuple[int, int]) -> None:
        rank, version = what
        link = self._links[rank]
        if version != link.version:
            return
        now_ns = self._timetable.clock()
        for transfer in link.through(now_ns):
            self._count(transfer, -1)
            self._timetable.later(now_ns + self._latency_ns, rank, self._landed, transfer)
        self._plan(rank, link)

    def _landed(self, transfer: Transfer) -> None:
        done = TransportEnd(transfer.session, EndKind.DONE, transfer.nbytes)
        receiver = self._ends[transfer.receiver]
        if receiver is not None:
            receiver.write(transfer, whole=True)
            if receiver.gives_up(transfer.session):
                self._tell(transfer.receiver, done)
        self._tell(transfer.sender, done)

    def _stopped(self, transfer: Transfer) -> None:
        self._land_part(transfer)
        ended = TransportEnd(transfer.session, EndKind.FAILED, 0, 1, "withdrawn")
        self._tell(transfer.sender, ended)

    def _refused(self, transfer: Transfer) -> None:
        detail = f"rank {transfer.receiver} has failed"
        self._tell(transfer.sender, TransportEnd(transfer.session, EndKind.FAILED, detail=detail))

    def _fenced(self, broken: _Broken) -> None:
        """Nothing is under way any more between the failed rank and the others."""
        for transfer in broken.begun:
            self._land_part(transfer)
        # What was through the failed rank's link has landed meanwhile, and is done.
        awaited = [t for t in broken.awaited if self._is_awaited(t)]
        for peer, transfer in _living(awaited, broken.sent):
            pieces = int(peer == transfer.sender)
            end = TransportEnd(transfer.session, EndKind.FAILED, 0, pieces, "its peer failed")
            self._tell(peer, end)

    def _is_awaited(self, transfer: Transfer) -> bool:
        """Was it, up to now?"""
        receiver = self._ends[transfer.receiver]
        return receiver is not None and receiver.gives_up(transfer.session)

    def _land_part(self, transfer: Transfer) -> None:
        receiver = self._ends[transfer.receiver]
        if receiver is not None:
            receiver.write(transfer, whole=False)

    def _tell(self, rank: int, end: TransportEnd) -> None:
        transport = self._ends[rank]
        if transport is not None:
            transport.note(end)
            self._timetable.arrival(rank)


def _living(awaited: list[Transfer], sent: list[Transfer]) -> list[tuple[int, Transfer]]:
    """Who is to be told of what becomes of each."""
    return [*[(t.receiver, t) for t in awaited], *[(t.sender, t) for t in sent]]


class VirtualTransport:
    """One rank's end. Proof of quiescence is the link's own end, or the sender's message that it
    posted nothing: the link keeps no bytes back. Of a failed peer, that a latency has passed."""

    name = "virtual"
    proofs = frozenset(
        {Proof.BACKEND_DONE, Proof.NOTHING_POSTED, Proof.RECEIVE_ENDED, Proof.PEER_FAILED}
    )
    can_withdraw = True

    def __init__(
        self,
        network: Network,
        rank: int,
        memory: LedgerMemory,
        inbox_age: InboxAge | None = None,
        reading: Callable[[int], int] = int,
    ) -> None:
        self._reading = reading
        self._network = network
        self._rank = rank
        self._memory = memory
        self.inbox_age = inbox_age
        self._ended: list[TransportEnd] = []
        self._expected: dict[SessionId, tuple[int, Transfer]] = {}
        """What is promised to whom: the lease for which its blocks are."""

    def expect(self, transfer: Transfer) -> bool:
        """Remember for which lease the blocks are promised; a failed sender's would stay so."""
        if transfer.sender in self._network.failed:
            return False
        self._expected[transfer.session] = (self._memory.awaited(transfer.target), transfer)
        return True

    def has_failed(self, rank: int) -> bool:
        """Has everybody heard that it is?"""
        return rank in self._network.failed

    def post(self, transfer: Transfer) -> None:
        """Join the link."""
        self._network.begin(transfer)

    def withdraw(self, session: SessionId) -> None:
        """Sender: leave the link. A receiver cannot stop what others write."""
        self._network.stop(self._rank, session)

    def peer_ended(self, session: SessionId, pieces: int) -> None:
        """The sender posts no more, and what it posted has landed before its message came."""
        if self.gives_up(session):
            self.note(TransportEnd(session, EndKind.FAILED, 0, pieces, "peer ended"))

    def poll(self) -> list[TransportEnd]:
        """What ended since the last call."""
        if not self._ended:
            return _NOTHING
        ended, self._ended = self._ended, []
        if self.inbox_age is not None:
            self.inbox_age.taken(self._network.now_ns())
        return ended

    def ready(self) -> bool:
        """Would `poll` report something?"""
        return bool(self._ended)

    def last_moved_ns(self) -> int:
        """When a byte last moved to or from this rank."""
        return self._reading(self._network.moved_ns(self._rank))

    def close(self) -> None:
        """There is nothing to give back."""

    def write(self, transfer: Transfer, *, whole: bool) -> None:
        """The link writes into this rank's blocks, whoever holds them by now."""
        promised = self._expected.get(transfer.session)
        owner = -1 if promised is None else promised[0]
        self._memory.land(owner, transfer.target, whole=whole)

    def expected_from(self, sender: int) -> list[Transfer]:
        """What this rank awaits of another, whether that one has begun or not."""
        return [transfer for _, transfer in self._expected.values() if transfer.sender == sender]

    def gives_up(self, session: SessionId) -> bool:
        """It is expected no more; was it, so that its end is input?"""
        return self._expected.pop(session, None) is not None

    def note(self, end: TransportEnd) -> None:
        """To be reported when this rank polls next."""
        if self.inbox_age is not None and not self._ended:
            self.inbox_age.came(self._network.now_ns(), end.session[0])
        self._ended.append(end)
