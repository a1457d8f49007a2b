"""The transport in virtual time: a latency, and a bandwidth that a sender's transfers share fairly.

Each sender has one link (`virtual_link`); only its next end is in the event queue. A transfer in
progress is a *flow*. When a rank fails, the living rank at the other end of each transfer with it
gets LOST at once, and its proof after one latency: bytes on the wire have arrived by then, and no
more follow.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from adpkv.core.ids import SOON_NS, RequestId, SessionId
from adpkv.core.inbox_age import InboxAge
from adpkv.memory.virtual import Landing
from adpkv.transport.port import EndKind, Proof, Transfer, TransportEnd
from adpkv.transport.virtual_link import Link

__all__ = ["Network", "Timetable", "VirtualTransport"]

_NOTHING: list[TransportEnd] = []


class Timetable(Protocol):
    """What the network needs from a world: a clock, later calls, and a notice of arrivals."""

    def clock(self) -> int:
        """Nanoseconds of virtual time."""
        ...

    def later(self, at_ns: int, owner: int, action: Callable[[Any], None], what: Any) -> None:
        """Call `action(what)` at `at_ns`. Calls at the same time are made in order of `owner`."""
        ...

    def arrival(self, rank: int) -> None:
        """Input has arrived for a rank."""
        ...


class _Broken(NamedTuple):
    """The transfers that a rank failure has broken and that are not fenced yet."""

    begun: list[Transfer]
    """Flows from the failed rank."""
    awaited: list[Transfer]
    """All transfers that living ranks expect from it, those of `begun` included."""
    sent: list[Transfer]
    """Flows from living ranks to it."""


class Network:
    """All links and all ranks' ends of the transport."""

    def __init__(
        self, ranks: int, latency_ns: int, bandwidth_bytes_per_s: int, timetable: Timetable
    ) -> None:
        self._latency_ns = max(latency_ns, SOON_NS)
        self._bandwidth = bandwidth_bytes_per_s
        self._timetable = timetable
        self.now_ns: Callable[[], int] = timetable.clock
        """The world's time in nanoseconds."""
        self._links: dict[int, Link] = {}
        self.failed: set[int] = set()
        self.awaits_movement: Callable[[int], bool] = lambda rank: True
        """Whether a rank is to be woken when bytes to it begin to move: one that is unhealthy
        without movement (contract 4.2). A healthy one looks when it would become unhealthy."""
        self._flows_of = [0] * ranks
        """By rank: how many flows it sends or receives now."""
        self._moved_ns = [0] * ranks
        self._ends: list[VirtualTransport | None] = [None] * ranks

    def end(
        self,
        rank: int,
        memory: Landing,
        inbox_age: InboxAge | None = None,
        reading: Callable[[int], int] = int,
    ) -> VirtualTransport:
        """Make a rank's end of the transport.

        Args:
            inbox_age: follows how long an end is not polled.
            reading: from a time of the world to the reading of this rank's clock, which a fault may
                set ahead.
        """
        transport = VirtualTransport(self, rank, memory, inbox_age, reading)
        self._ends[rank] = transport
        return transport

    def begin(self, transfer: Transfer) -> None:
        """A flow joins its sender's link."""
        clock, sender = self.now_ns, transfer.sender
        now_ns = clock()
        if transfer.receiver in self.failed:
            # Not at once: the end is input, for which the rank is woken.
            self._timetable.later(now_ns + SOON_NS, sender, self._refused, transfer)
            return
        link = self._links.get(sender)
        if link is None:
            link = self._links[sender] = Link(self._bandwidth)
        link.join(transfer, now_ns)
        self._count(transfer, 1)
        self._plan(sender, link)
        if self.awaits_movement(transfer.receiver):
            self._timetable.arrival(transfer.receiver)

    def stop(self, rank: int, session: SessionId) -> None:
        """The sender posts no more: bytes on the wire still arrive, then the flow is over."""
        for transfer in self._cut(rank, lambda flow: flow.session == session):
            at_ns = self._timetable.clock() + self._latency_ns
            self._timetable.later(at_ns, rank, self._stopped, transfer)

    def handle_peer_failure(self, rank: int) -> None:
        """The rank has failed: its peers get LOST. Nothing is written into its blocks any more."""
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
            self._report(peer, TransportEnd(transfer.session, EndKind.LOST, detail=detail))
        at_ns = self._timetable.clock() + self._latency_ns
        self._timetable.later(at_ns, rank, self._fenced, _Broken(begun, awaited, sent))

    def moved_ns(self, rank: int) -> int:
        """When a byte last moved to or from the rank."""
        return self._timetable.clock() if self._flows_of[rank] else self._moved_ns[rank]

    def _count(self, transfer: Transfer, change: int) -> None:
        clock = self.now_ns
        now_ns = clock()
        for rank in (transfer.sender, transfer.receiver):
            self._flows_of[rank] += change
            self._moved_ns[rank] = now_ns

    def _cut(self, sender: int, which: Callable[[Transfer], bool]) -> list[Transfer]:
        """Remove and return the flows of a sender's link for which `which` is true."""
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
        clock = self.now_ns
        now_ns = clock()
        for transfer in link.through(now_ns):
            self._count(transfer, -1)
            self._timetable.later(now_ns + self._latency_ns, rank, self._landed, transfer)
        self._plan(rank, link)

    def _landed(self, transfer: Transfer) -> None:
        session = _session_of(transfer)
        done = TransportEnd(session, EndKind.DONE, transfer.nbytes)
        receiver = self._ends[transfer.receiver]
        if receiver is not None:
            receiver.write(transfer, whole=True)
            if receiver.end_expected(session):
                self._report(transfer.receiver, done)
        self._report(transfer.sender, done)

    def _stopped(self, transfer: Transfer) -> None:
        self._land_part(transfer)
        ended = TransportEnd(transfer.session, EndKind.FAILED, 0, 1, "withdrawn")
        self._report(transfer.sender, ended)

    def _refused(self, transfer: Transfer) -> None:
        detail = f"rank {transfer.receiver} has failed"
        self._report(transfer.sender, TransportEnd(transfer.session, EndKind.FAILED, detail=detail))

    def _fenced(self, broken: _Broken) -> None:
        """One latency after a failure: no byte to or from the failed rank is on the wire."""
        for transfer in broken.begun:
            self._land_part(transfer)
        # Flows that had left the failed rank's link completely have arrived meanwhile: DONE.
        awaited = [t for t in broken.awaited if self._is_awaited(t)]
        for peer, transfer in _living(awaited, broken.sent):
            pieces = int(peer == transfer.sender)
            end = TransportEnd(transfer.session, EndKind.FAILED, 0, pieces, "its peer failed")
            self._report(peer, end)

    def _is_awaited(self, transfer: Transfer) -> bool:
        """Whether the transfer was still expected; it is not from now on."""
        receiver = self._ends[transfer.receiver]
        return receiver is not None and receiver.end_expected(transfer.session)

    def _land_part(self, transfer: Transfer) -> None:
        receiver = self._ends[transfer.receiver]
        if receiver is not None:
            receiver.write(transfer, whole=False)

    def _report(self, rank: int, end: TransportEnd) -> None:
        transport = self._ends[rank]
        if transport is not None:
            transport.note(end)
            self._timetable.arrival(rank)


def _session_of(transfer: Transfer) -> SessionId:
    """As `Transfer.session`, which is not compiled."""
    return RequestId(transfer.request_id), transfer.attempt


def _living(awaited: list[Transfer], sent: list[Transfer]) -> list[tuple[int, Transfer]]:
    """(living rank, transfer) of the broken transfers: that rank gets the transfer's end."""
    return [*[(t.receiver, t) for t in awaited], *[(t.sender, t) for t in sent]]


class VirtualTransport:
    """One rank's end of the transport; implements `transport.port.Transport`.

    A transfer is proven over by its end on the link, or by the sender's message that it posts no
    more: bytes posted before arrive before the message. With a failed peer, one latency must pass.
    """

    name = "virtual"
    proofs = frozenset(
        {Proof.BACKEND_DONE, Proof.NOTHING_POSTED, Proof.RECEIVE_ENDED, Proof.PEER_FAILED}
    )
    can_withdraw = True

    def __init__(
        self,
        network: Network,
        rank: int,
        memory: Landing,
        inbox_age: InboxAge | None = None,
        reading: Callable[[int], int] = int,
    ) -> None:
        self._reading = reading
        self._network, self._now_ns = network, network.now_ns
        self._rank = rank
        self._memory = memory
        self.inbox_age = inbox_age
        self._ended: list[TransportEnd] = []
        self._expected: dict[SessionId, tuple[int, Transfer]] = {}
        """Session -> (the lease that has the blocks, transfer) of the expected transfers."""

    def expect(self, transfer: Transfer) -> bool:
        """Remember the lease for which the bytes are. False if the sender has failed."""
        if transfer.sender in self._network.failed:
            return False
        self._expected[_session_of(transfer)] = (self._memory.awaited(transfer.target), transfer)
        return True

    def has_failed(self, rank: int) -> bool:
        """Whether the rank has failed."""
        return rank in self._network.failed

    def post(self, transfer: Transfer) -> None:
        """Begin a flow on this rank's link."""
        self._network.begin(transfer)

    def withdraw(self, session: SessionId) -> None:
        """Sender: end the flow. Receiver: no effect."""
        self._network.stop(self._rank, session)

    def peer_ended(self, session: SessionId, pieces: int) -> None:
        """The sender posts no more; bytes that it posted have arrived before this message."""
        if self.end_expected(session):
            self.note(TransportEnd(session, EndKind.FAILED, 0, pieces, "peer ended"))

    def poll(self) -> list[TransportEnd]:
        """The transfers that ended since the last call."""
        if not self._ended:
            return _NOTHING
        ended, self._ended = self._ended, []
        if self.inbox_age is not None:
            clock = self._now_ns
            self.inbox_age.taken(clock())
        return ended

    def ready(self) -> bool:
        """Whether `poll` would report an end."""
        return bool(self._ended)

    def last_moved_ns(self) -> int:
        """When a byte last moved to or from this rank, on this rank's clock."""
        return self._reading(self._network.moved_ns(self._rank))

    def close(self) -> None:
        """Nothing to release."""

    def write(self, transfer: Transfer, *, whole: bool) -> None:
        """The link writes into this rank's blocks, whichever lease has them by now. The memory
        reports a violation if it is another one."""
        owner, expected = self._expected.get(_session_of(transfer), (-1, None))
        # Of a chunk between slots, a range, the receiver knows no source: what is in the slots is
        # known to their ledger.
        if expected is not None and not isinstance(expected.source, range):
            whole = whole and expected.source == transfer.source
        self._memory.land(owner, transfer.target, whole=whole)

    def expected_from(self, sender: int) -> list[Transfer]:
        """The transfers that this rank expects from `sender`, begun or not."""
        return [transfer for _, transfer in self._expected.values() if transfer.sender == sender]

    def end_expected(self, session: SessionId) -> bool:
        """Stop expecting a transfer; returns whether it was expected."""
        return self._expected.pop(session, None) is not None

    def note(self, end: TransportEnd) -> None:
        """Keep an end for this rank's next poll."""
        if self.inbox_age is not None and not self._ended:
            clock = self._now_ns
            self.inbox_age.came(clock(), end.session[0])
        self._ended.append(end)
