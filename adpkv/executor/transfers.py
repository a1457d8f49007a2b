"""Between the transceiver and the outside: transport and peers.

The transceiver's orders become transport calls and messages to peers. Ends from the transport and
messages from peers become events of the transceiver.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from adpkv.core.session import Event, Order, Session, State
from adpkv.core.tombstones import NEVER_POSTED
from adpkv.core.transceiver import Transceiver
from adpkv.executor.messages import (
    Advertise,
    Began,
    Cached,
    CancelTransfer,
    Ended,
    NeverStarted,
    PeerMessage,
    Queued,
    Unpacked,
)
from adpkv.executor.ports import Mailbox
from adpkv.executor.serving import Serving
from adpkv.transport.port import EndKind, Transfer, Transport, TransportEnd
from adpkv.transport.staged import StagedTransport

__all__ = ["Transfers"]

# Looked up once: to look a member up in its enum takes longer than what is done with it.
_BEGAN: Final = Event.BEGAN
_ENDED: Final = Event.ENDED
_ERROR: Final = Event.ERROR
_PEER_LOST: Final = Event.PEER_LOST
_PEER_QUEUED: Final = Event.PEER_QUEUED
_EXPECT: Final = Order.EXPECT
_POST: Final = Order.POST
_TELL_AGAIN: Final = Order.TELL_AGAIN
_TELL_BEGAN: Final = Order.TELL_BEGAN
_TELL_CACHED: Final = Order.TELL_CACHED
_TELL_CANCEL: Final = Order.TELL_CANCEL
_TELL_NEVER_STARTED: Final = Order.TELL_NEVER_STARTED
_TELL_QUEUED: Final = Order.TELL_QUEUED
_WITHDRAW: Final = Order.WITHDRAW
_QUARANTINED: Final = State.QUARANTINED

_EVENT_OF = {
    EndKind.DONE: Event.DONE,
    EndKind.FAILED: Event.ENDED,
    EndKind.ERROR: Event.ERROR,
    EndKind.LOST: Event.PEER_LOST,
}

UNKNOWN_PIECES: Final = -1
"""`Ended.pieces` of a sender that cannot say how many pieces it has posted."""


class Transfers:
    """One rank's transport calls and messages to and from its peers."""

    def __init__(
        self,
        rank: int,
        transceiver: Transceiver,
        transport: Transport,
        mailbox: Mailbox,
        serving: Serving,
        staged: StagedTransport | None = None,
    ) -> None:
        self._staged = staged
        self._rank = rank
        self._transceiver = transceiver
        self._transport = transport
        self._mailbox = mailbox
        self._serving = serving

    def on_peer_message(self, message: PeerMessage, now_ns: int) -> None:
        """Process a peer's message about a session."""
        transceiver = self._transceiver
        if type(message) is Began:  # the most frequent one first
            transceiver.on_peer_message(message.request_id, message.attempt, _BEGAN, now_ns)
            return
        session = (message.request_id, message.attempt)
        if isinstance(message, Advertise):
            if self._transport.has_failed(message.receiver):
                transceiver.note_failures((message.receiver,))
            pieces = transceiver.advertised(
                *session,
                message.receiver,
                message.tag,
                message.blocks,
                now_ns,
                message.slot,
                message.cached,
            )
            self._tell_of_the_end(message, pieces, "the sender has no such session")
        elif isinstance(message, Cached):
            transceiver.not_needed(*session, now_ns)
        elif isinstance(message, Queued):
            transceiver.on_peer_message(*session, _PEER_QUEUED, now_ns)
        elif isinstance(message, CancelTransfer):
            self._cancelled(message, now_ns)
        elif isinstance(message, NeverStarted):
            self._peer_ended(*session, 0)
        elif isinstance(message, Unpacked):
            self._unpacked(message)
        elif isinstance(message, Ended) and message.pieces != UNKNOWN_PIECES:
            self._peer_ended(*session, message.pieces)
        else:
            transceiver.on_peer_message(*session, _ERROR, now_ns)

    def _unpacked(self, message: Unpacked) -> None:
        """A receiver has unpacked chunks. A message about another attempt is dropped, as it says
        nothing about this one's slot (3.5)."""
        session = self._transceiver.book.find(message.request_id, message.attempt)
        if session is not None and self._staged is not None:
            self._staged.unpacked(session.session_id, message.chunks)

    def _cancelled(self, message: CancelTransfer, now_ns: int) -> None:
        """A receiver cancels. If the session is over, tell it again how it ended: a receiver that
        has advertised keeps its blocks until it knows."""
        pieces = self._transceiver.cancelled(
            message.request_id, message.attempt, message.receiver, now_ns
        )
        self._tell_of_the_end(message, pieces, "nothing was posted")

    def _tell_of_the_end(
        self, message: Advertise | CancelTransfer, pieces: int | None, why: str
    ) -> None:
        """Tell a receiver how many pieces were posted for a session that is over, as it has missed
        that message. `pieces` is None if the session is not over."""
        session = (message.request_id, message.attempt)
        if pieces == NEVER_POSTED:
            self._mailbox.send(message.receiver, NeverStarted(*session, why))
        elif pieces is not None:
            self._mailbox.send(message.receiver, Ended(*session, pieces, "it is over"))

    def _peer_ended(self, request_id: int, attempt: int, pieces: int) -> None:
        """The sender posts no more: pass it to the transport. A message about an earlier attempt is
        dropped here, before the transport could take it for a proof about this one (3.5)."""
        session = self._transceiver.book.find(request_id, attempt)
        if session is not None:
            self._transport.peer_ended(session.session_id, pieces)

    def ended(self, ends: Iterable[TransportEnd]) -> None:
        """These transfers have ended, as the transport says."""
        for end in ends:
            (request_id, attempt), event = end.session, _EVENT_OF[end.kind]
            self._transceiver.finished(request_id, attempt, event, end.nbytes, end.pieces)

    def deliver(self) -> None:
        """Carry out the transceiver's orders, oldest first."""
        for order, session in self._transceiver.take_orders():
            if order is _EXPECT:
                self._expect(session)
            elif order is _POST:
                self._post(session)
            elif order is _WITHDRAW:
                self._transport.withdraw(session.session_id)
            elif session.peer >= 0:
                self._tell(order, session)

    def _expect(self, session: Session) -> None:
        request_id, attempt = session.session_id
        self._serving.exposed(session)
        if not self._transport.expect(self._transfer(session, session.peer, self._rank)):
            # The blocks were not advertised, so this is proof; the sender may free its own.
            if self._transport.has_failed(session.peer):
                self._transceiver.finished(request_id, attempt, _PEER_LOST)
            else:
                self._transceiver.refused(session)
            self._transceiver.finished(request_id, attempt, _ENDED)
            self._mailbox.send(session.peer, CancelTransfer(request_id, attempt))
            return
        self._tell(_TELL_AGAIN, session)

    def _post(self, session: Session) -> None:
        self._serving.exposed(session)
        if self._transport.has_failed(session.peer):
            # Nothing is posted, so both is proven at once: that it is lost, and that it is over.
            self._transceiver.finished(*session.session_id, Event.PEER_LOST)
            self._transceiver.finished(*session.session_id, Event.ENDED)
            return
        self._transport.post(self._transfer(session, self._rank, session.peer))
        self._mailbox.send(session.peer, Began(*session.session_id))

    def _transfer(self, session: Session, sender: int, receiver: int) -> Transfer:
        here, there = (session.blocks, session.slot), (session.peer_blocks, session.peer_slot)
        source, target = (here, there) if sender == self._rank else (there, here)
        request_id, attempt = session.session_id
        return Transfer(
            request_id,
            attempt,
            sender,
            receiver,
            session.tag,
            source[0],
            target[0],
            session.nbytes,
            source[1],
            target[1],
        )

    def _tell(self, order: Order, session: Session) -> None:
        request_id, attempt = session.session_id
        message: PeerMessage
        if order is _TELL_AGAIN:
            blocks = session.blocks if session.slot < 0 else ()
            message = Advertise(
                request_id,
                attempt,
                self._rank,
                session.tag,
                blocks,
                session.slot,
                session.cached,
            )
        elif order is _TELL_CACHED:
            message = Cached(request_id, attempt)
        elif order is _TELL_QUEUED:
            message = Queued(request_id, attempt)
        elif order is _TELL_BEGAN:
            message = Began(request_id, attempt)
        elif order is _TELL_CANCEL:
            advertised = session.started_ns >= 0
            message = CancelTransfer(request_id, attempt, self._rank if advertised else -1)
        elif order is _TELL_NEVER_STARTED:
            message = NeverStarted(request_id, attempt, session.state)
        else:
            proven = session.state is not _QUARANTINED
            pieces = session.pieces if proven else UNKNOWN_PIECES
            message = Ended(request_id, attempt, pieces, session.state)
        self._mailbox.send(session.peer, message)
