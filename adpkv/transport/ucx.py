"""KV bytes over UCX, by the non-blocking layer of UCXX: two-sided, straight from block to block.

The receiver posts receives for the pieces of a transfer before it advertises; the sender posts one
message per piece. A message's tag says which transfer of the receiver it belongs to, so of which
attempt, and which piece it is. Receives are bound to the connection with their sender.

The end of a rank's own request is the only proof, for each request by itself. Not the sender's
word: a message may overtake bytes. Not a closed connection: bytes landed after that was reported.
So every request is kept until it has ended (to drop one cancels it, and nothing tells when).

A receive that no message will come for is ended by an empty message from this rank to itself, with
its tag. UCX gives it to the receive if no other message has been matched with it; then the receive
ends and nothing is written. Otherwise the receive ends with its own message. So a receiver needs
nobody for it: not a sender that never began, and not a failed one.

If a connection is lost, UCXX ends the requests on it. Those transfers are LOST, and FAILED as soon
as their requests have ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from adpkv.core.ids import SessionId
from adpkv.core.inbox_age import InboxAge
from adpkv.errors import AdpkvError
from adpkv.memory.port import HOST, PASSED, Fence
from adpkv.transport.cards import Card
from adpkv.transport.port import EndKind, Proof, Transfer, TransportEnd
from adpkv.transport.posting import PostLimits
from adpkv.transport.ucx_cutting import Cutter
from adpkv.transport.ucx_hold_up import HoldUp
from adpkv.transport.ucx_library import Library
from adpkv.transport.ucx_opened import Heads, Opened
from adpkv.transport.ucx_peers import PIECES, ExposedBlocks, Peers
from adpkv.transport.ucx_posting import Poster
from adpkv.transport.ucx_queues import Queues

__all__ = ["UcxTransport"]


class UcxTransport:
    """`transport.port.Transport` over one UCX worker.

    Args:
        library: UCXX (`ucx_library.library`).
        memory: the blocks that peers write to and read from.
        piece_bytes: the size limit of one piece.
        limits: how much may be posted between two polls.
        error_handling: see `ucx_peers.Peers`.
        clock: this rank's clock, in nanoseconds.
        host: this rank's host, for messages to people.
        inbox_age: follows how long an end is not polled after `ready` has found it.
        written: the fence of what this rank has written into `memory` so far.
    """

    name = "ucx"
    proofs = (Proof.RECEIVE_ENDED, Proof.BACKEND_DONE, Proof.PEER_FAILED)
    can_withdraw = True

    def __init__(
        self,
        library: Library,
        memory: ExposedBlocks,
        *,
        piece_bytes: int,
        limits: PostLimits,
        error_handling: bool,
        clock: Callable[[], int],
        host: str = "",
        inbox_age: InboxAge | None = None,
        written: Callable[[], Fence] = lambda: PASSED,
    ) -> None:
        self._library, self._clock, self._host = library, clock, host
        self._error_handling, self._inbox_age = error_handling, inbox_age
        on_host = memory.region().device == HOST
        self._peers = Peers(library, on_host=on_host, error_handling=error_handling)
        at_once = self._peers.at_once
        hold_up = HoldUp(on_host=on_host, copies=self._peers.copies, at_once=at_once)
        self._cutter = Cutter(memory.block_bytes, hold_up.piece_bytes(piece_bytes), splits=at_once)
        poster = Poster(library, self._peers, memory, hold_up, self._cutter.most_bytes)
        self._heads = Heads()
        self._queues = Queues(poster, self._heads, hold_up, limits, written)
        self._gone: set[int] = set()
        """The ranks that all ranks know to have failed."""
        self._sending: dict[SessionId, Opened] = {}
        self._receiving: dict[SessionId, Opened] = {}
        self._lingering: list[Opened] = []
        """Transfers of which only requests are open that nobody waits for any more."""
        self._kept: list[Any] = []
        """Requests of sends to failed ranks, which may never end."""
        self._ended: list[TransportEnd] = []
        self._left: list[tuple[Any, bytearray | None]] = []
        """After `close`: requests that have not ended yet, and what dropped messages go to."""
        self._moved_ns = 0

    # -- before the first transfer -------------------------------------------------------------

    def card(self) -> Card:
        """This rank's versions, and the address of its worker."""
        alike = (
            ("UCXX", self._library.ucxx_version),
            ("UCX", self._library.ucx_version),
            ("transceiver.ucx_error_handling", str(self._error_handling).lower()),
            ("messages of at most", f"{self._cutter.most_bytes} bytes"),
            # One that is sent at once must fit into what its receiver reads at once.
            ("messages sent at once over TCP", "yes" if self._peers.at_once else "no"),
        )
        return Card(self.name, alike, self._host, self._peers.address)

    def take_cards(self, cards: Sequence[Card]) -> None:
        """The cards of all ranks; nobody is connected yet."""
        self._peers.take([card.address for card in cards])

    # -- the port ------------------------------------------------------------------------------

    def expect(self, transfer: Transfer) -> bool:
        """Post receives, unless the sender has failed. What exceeds the budget of this iteration is
        posted by later polls: a message that comes earlier waits."""
        if transfer.sender in self._gone:
            return False
        self._begin(self._open(transfer, self._receiving, False))
        return True

    def has_failed(self, rank: int) -> bool:
        """Whether all ranks know that this one has failed."""
        return rank in self._gone

    def post(self, transfer: Transfer) -> None:
        """Begin to send, within the rest of the budget."""
        found = self._open(transfer, self._sending, True)
        if transfer.receiver in self._gone:
            self._end_at(found, 0)
        else:
            self._begin(found)

    def withdraw(self, session: SessionId) -> None:
        """Sender: post no further piece. Receiver: no effect, its peer must say how much it has
        posted: a message that nobody receives would never end for its sender."""
        found = self._sending.get(session)
        if found is not None and not found.is_posted():
            self._end_at(found, len(found.requests))

    def peer_ended(self, session: SessionId, pieces: int) -> None:
        """Receiver: end the receives that the sender will not use; their end is the proof."""
        found = self._receiving.get(session)
        if found is not None and pieces < found.wanted:
            self._follow(found)
            self._end_at(found, pieces)

    def poll(self) -> list[TransportEnd]:
        """The transfers that ended since the last call."""
        self._progress()
        ended, self._ended = self._ended, []
        if ended and self._inbox_age is not None:
            self._inbox_age.taken(self._clock())
        return ended

    def ready(self) -> bool:
        """Make progress without waiting; returns whether `poll` would report an end now."""
        if not self._ended:
            self._progress()
        if self._ended and self._inbox_age is not None:
            self._inbox_age.came(self._clock(), self._ended[0].session[0])
        return bool(self._ended)

    @property
    def has_receives_to_post(self) -> bool:
        """Whether receives of expected transfers are still to be posted: a message that comes
        before its receive waits for it."""
        return bool(self._queues.receives)

    def last_moved_ns(self) -> int:
        """When a piece last ended, on this rank's clock."""
        return self._moved_ns

    # -- when a rank fails ---------------------------------------------------------------------

    def handle_peer_failure(self, ranks: Iterable[int]) -> None:
        """These ranks have failed, and all living ranks know it. Transfers with them are LOST,
        unless all their bytes have arrived.

        A receive ends with its requests. A send is over at once: no rank is left to read the
        blocks. Its requests are kept, as without error handling they never end.
        """
        failed = set(ranks)
        self._gone |= failed
        for rank in failed:
            self._peers.fence(rank)
            self._lose(rank, "its rank has failed")

    def _lose(self, rank: int, why: str) -> None:
        """The connection with this rank is lost: end the transfers with it."""
        for found in [*self._receiving.values(), *self._sending.values()]:
            if found.peer() == rank and not self._landed(found):
                self._break_off(found, why)

    def _landed(self, found: Opened) -> bool:
        self._follow(found, errors=False)
        return found.is_over()

    def _break_off(self, found: Opened, why: str) -> None:
        """The transfer cannot complete: end it as soon as its requests have ended."""
        if not found.reason:
            found.reason = why
            self._ended.append(TransportEnd(found.session, EndKind.LOST, detail=why))
        open_bytes = found.bytes_between(found.finished, len(found.requests))
        if found.sends and open_bytes:
            self._queues.sent(found.peer(), open_bytes)
        self._end_at(found, found.finished)
        if found.sends and found.peer() in self._gone:
            self._kept += found.lingering
            found.lingering = ()
            self._end_if_over(found)

    # -- the end of the job --------------------------------------------------------------------

    def close(self) -> None:
        """End the receives that nothing comes for. A send ends when its receiver receives it, or
        drops it (`discard`)."""
        self._queues.clear()
        self._heads.clear()
        for found in [*self._receiving.values(), *self._sending.values()]:
            open_pieces = found.end_at(found.finished)
            if not found.sends:
                self._empty(found, open_pieces)
            if not found.sends or found.peer() not in self._gone:
                self._left += [(request, None) for request in found.lingering]
        self._lingering.clear()
        self._receiving.clear()
        self._sending.clear()

    def is_drained(self) -> bool:
        """After `close`, without waiting: whether all requests of this rank have ended and its
        connections are closed."""
        if self._peers.is_released():
            return True
        self._peers.progress()
        self._peers.take_lost()
        self._left = [left for left in self._left if not left[0].completed]
        if self._left:
            return False
        self._peers.close()
        if not self._peers.is_closed():
            return False
        self._peers.release()
        return True

    def discard(self) -> None:
        """After `close`, without waiting: receive and drop messages that are not expected any more,
        so that their sends end."""
        if self._peers.is_released():
            return
        self._peers.progress()
        while (dropped := self._peers.drop(None)) is not None:
            self._left.append(dropped)

    def release(self) -> None:
        """Nothing is left: `is_drained` has closed the connections."""

    # -- pieces --------------------------------------------------------------------------------

    def _open(self, transfer: Transfer, book: dict[SessionId, Opened], sends: bool) -> Opened:
        found = Opened(transfer, self._cutter.cut(transfer), sends)
        if found.session in book:
            raise AdpkvError(f"session {found.session} is already open in transport ucx")
        if found.wanted > PIECES:
            raise AdpkvError(f"session {found.session} has {found.wanted} pieces, of {PIECES}")
        book[found.session] = found
        return found

    def _begin(self, found: Opened) -> None:
        if found.wanted:
            if self._queues.begin(found):
                self._handle_refused()
        else:
            self._end_if_over(found)

    def _progress(self) -> None:
        """Process the pieces that ended and the connections that were lost, then post what the
        budget allows."""
        if self._peers.worker is None:
            return
        # What waits for its post does not wait until UCX has nothing to do.
        moved = self._peers.progress(once=bool(self._queues.sends))
        lost = self._peers.take_lost()
        if moved or lost:
            self._heads.renew()
            for rank in lost:
                self._lose(rank, "the connection was lost")
        for found in self._heads.ended(self._clock):
            self._follow(found)
        if self._lingering:
            self._lingering = [found for found in self._lingering if not self._end_if_over(found)]
        if self._queues.post_more():
            self._handle_refused()

    def _handle_refused(self) -> None:
        for error, found in self._queues.take_refused():
            self._break_off(found, str(error))

    def _follow(self, found: Opened, *, errors: bool = True) -> None:
        """Count the pieces that have ended since the last time. With `errors`, a transfer with one
        that ended with an error is broken off."""
        at, status = found.ended_until()
        if at > found.finished:
            size = found.bytes_between(found.finished, at)
            if found.sends:
                self._queues.sent(found.to, size)
            found.finished = at
            found.moved_bytes += size
            self._moved_ns = self._clock()
        if errors and status is not None:
            self._break_off(found, f"UCX ended a piece with status {status}")
        elif at == found.wanted:
            self._end_if_over(found)

    def _end_at(self, found: Opened, wanted: int) -> None:
        """Post and await no piece from `wanted` on; the open receives among them are ended."""
        self._queues.remove(found)
        open_pieces = found.end_at(wanted)
        if not found.sends:
            self._empty(found, open_pieces)
        # The sender's message may come twice, with different numbers of pieces.
        if not self._end_if_over(found) and found.lingering and found not in self._lingering:
            self._lingering.append(found)

    def _empty(self, found: Opened, open_pieces: list[int]) -> None:
        """End these receives, if no message has come for them."""
        for piece in open_pieces:
            self._peers.end_receive(found.tag(piece))
        found.emptied = [*found.emptied, *map(found.tag, open_pieces)]

    def _end_if_over(self, found: Opened) -> bool:
        if not found.is_over():
            return False
        self._heads.forget(found)
        # A transfer may be in `_heads` and in `_lingering`: its end is reported once. And a later
        # transfer of the same session must not be taken for it.
        book = self._sending if found.sends else self._receiving
        if book.get(found.session) is found:
            del book[found.session]
            self._ended.append(found.end())
            # Where another message was matched first, the empty one is left.
            for tag in found.emptied:
                self._peers.drop(tag)
        return True
