"""KV bytes over NIXL: one-sided, non-blocking writes into the receiver's blocks.

The receiver does nothing but poll. The sender writes pieces, in bounds (`transport.posting`), and
asks for each piece's state. What proves that a transfer is over:

- To the sender: the library says DONE of each piece that it has posted. It says so when the bytes
  have arrived.
- To the receiver: the notice that comes with the last piece. That piece is posted when all others
  are DONE, because the library orders nothing between its writes: a notice proves only the piece it
  belongs to. Where pieces are large each has a notice, and the receiver counts them, so no piece
  waits. With pieces of 1 MiB and of 256 KiB that cost a fifth to a third of the bandwidth within a
  host.
- Or the sender's message that it has ended, which the core sends only of an end that was proven: so
  it is the library's own DONE (`peer_ended`).
- After the sender's process has failed: see `nixl_receives`.

To release a handle stops nothing and proves nothing (ai-dynamo/nixl #2044), so a handle is released
only when it has ended, and `withdraw` means to post no more. Where a connection is lost and the
peer is not known to have failed, nothing is proven: its transfers stay in doubt.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from adpkv.core.ids import SessionId
from adpkv.core.inbox_age import InboxAge
from adpkv.errors import AdpkvError
from adpkv.memory.port import PASSED, Fence
from adpkv.transport.cards import Card
from adpkv.transport.nixl_agent import Agent, Exposed, Handle
from adpkv.transport.nixl_opened import Piece, Send, cut
from adpkv.transport.nixl_receives import Receives
from adpkv.transport.port import EndKind, Proof, Transfer, TransportEnd
from adpkv.transport.posting import Posted, Posting, PostLimits

__all__ = ["NixlTransport"]

NOTICE: Final = struct.Struct("<QI")
"""A notice: the transfer's tag, and how many such notices are its end; 0: this one is none."""

COUNTED_BYTES: Final = 16 << 20
"""From pieces of so many bytes on, on the average, each has a notice that counts."""

MANY_PIECES: Final = 8
"""The first of more pieces is posted in the next poll: to cut a long list of blocks takes a while
already."""

NOTICE_EVERY: Final = 16
"""After so many pieces the receiver gets a notice that something has moved, for its health."""


def _written() -> Fence:
    return PASSED


class NixlTransport:
    """`transport.port.Transport` over one agent of NIXL. Every rank gives the others its `card`
    before the first transfer.

    Args:
        rank: this world rank.
        memory: what peers write into, and what this rank writes from.
        backend: the library's back end.
        piece_bytes: the size limit of one piece.
        limits: how much may be posted.
        clock: this rank's clock, in nanoseconds.
        inbox_age: follows how long an end is not polled after `ready` has found it.
        written: a fence of all KV that this rank has written so far. Nothing of a transfer is
            posted before the fence as of its `post` has passed.
        has_failed: whether the ranks have agreed that a rank has failed.

    Raises:
        UsageError: the library, its back end or the memory cannot be used here.
    """

    name = "nixl"
    proofs = (Proof.BACKEND_DONE, Proof.NOTHING_POSTED, Proof.PEER_FAILED)
    can_withdraw = True

    def __init__(
        self,
        rank: int,
        memory: Exposed,
        *,
        backend: str,
        piece_bytes: int,
        limits: PostLimits,
        clock: Callable[[], int],
        inbox_age: InboxAge | None = None,
        written: Callable[[], Fence] = _written,
        has_failed: Callable[[int], bool] = lambda _: False,
    ) -> None:
        self._agent = Agent(rank, memory, backend)
        self._lost: tuple[type[Exception], ...] = (*self._agent.errors, ConnectionError)
        self._block_bytes, self._clock, self._inbox_age = memory.block_bytes, clock, inbox_age
        self._written, self._has_failed = written, has_failed
        self._cut_limits = max(1, piece_bytes // memory.block_bytes), limits.budget_descriptors
        self._posting: Posting[Send] = Posting(self._post_next, limits)
        self._sending: dict[SessionId, Send] = {}
        self._moving: dict[SessionId, Send] = {}
        """Of them, those with pieces that have not ended."""
        self._unwritten: list[tuple[Fence, Send]] = []
        """Transfers whose KV is still being written by this rank's own device."""
        self._gone: set[int] = set()
        """The ranks that all others have agreed to have failed."""
        self._ended: list[TransportEnd] = []
        self._receives = Receives(
            memory.block_bytes,
            lambda transfer: len(self._cut(transfer)),
            clock,
            lambda end: self._ended.append(end),
        )
        self._left: list[Handle] = []
        """Handles of transfers that are over for this rank, and that have not ended yet."""
        self._moved_ns = 0

    def card(self) -> Card:
        """What the other ranks need to know of this one."""
        return self._agent.card()

    def take_cards(self, cards: Sequence[Card]) -> None:
        """The cards of all ranks, by rank.

        Raises:
            UsageError: the back end does not write into other agents' memory.
        """
        self._agent.take_cards(list(cards))

    def expect(self, transfer: Transfer) -> bool:
        """The blocks are registered already, so there is nothing to do; False if the sender has
        failed."""
        if self.has_failed(transfer.sender):
            return False
        self._receives.open(transfer)
        return True

    def has_failed(self, rank: int) -> bool:
        """Whether all ranks have agreed that this rank has failed."""
        return rank in self._gone or self._has_failed(rank)

    def post(self, transfer: Transfer) -> None:
        """Begin to write, within the rest of the budget."""
        if transfer.session in self._sending:
            raise AdpkvError(f"session {transfer.session} is already open in transport nixl")
        pieces = self._cut(transfer)
        counted = len(transfer.source) * self._block_bytes >= COUNTED_BYTES * len(pieces)
        found = self._sending[transfer.session] = Send(transfer, pieces, counted=counted)
        if self.has_failed(transfer.receiver):
            found.stop()
        if self._end_if_over(found):
            return
        fence = self._written()
        if not fence.passed():
            self._unwritten.append((fence, found))
        elif len(pieces) == 1 and self._post_whole(found):
            pass
        elif len(pieces) > MANY_PIECES:
            self._posting.queue(found)
        else:
            self._posting.add(found)

    def withdraw(self, session: SessionId) -> None:
        """Sender: post no further piece. Receiver: no effect, its peer must say how much it has
        posted."""
        found = self._sending.get(session)
        if found is not None and found.posted < found.wanted:
            self._stop(found)
            self._end_if_over(found)

    def peer_ended(self, session: SessionId, pieces: int) -> None:
        """Receiver: the sender has ended with so many pieces, and each of them was DONE."""
        self._receives.peer_ended(session, pieces)

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

    def last_moved_ns(self) -> int:
        """When a piece or a notice last came, on this rank's clock."""
        return self._moved_ns

    def handle_peer_failure(self, ranks: Iterable[int]) -> None:
        """These ranks have failed, and all living ranks know it. Each transfer with them is LOST.
        A write to a failed rank is over at once: nobody is left to be written to, and its handles
        are kept until they end. A write from it ends later (`nixl_receives`)."""
        failed = set(ranks) - self._gone
        self._gone |= failed
        for rank in failed:
            self._agent.forget(rank)
        for sent in list(self._sending.values()):
            if sent.peer() in failed:
                self._lose(sent, "the receiver has failed")
                self._left += [handle for handle, _ in sent.handles]
                self._account(sent, sum(count for _, count in sent.handles))
                sent.handles.clear()
                self._moving.pop(sent.transfer.session, None)
                self._end_if_over(sent)
        self._receives.handle_peer_failure(failed)

    def close(self) -> None:
        """Post nothing more. What was posted ends by itself (`is_drained`)."""
        self._posting.clear()
        self._unwritten.clear()
        for found in self._sending.values():
            self._left += [handle for handle, _ in found.handles]
        self._sending.clear()
        self._moving.clear()
        self._receives.close()

    def is_drained(self) -> bool:
        """After `close`, without waiting: whether every write of this rank has ended."""
        self._agent.notices()
        self._look_at_left()
        return not self._left

    def discard(self) -> None:
        """After `close`, without waiting: make progress, so that the writes of others end."""
        self._agent.notices()

    def release(self) -> None:
        """All ranks have closed: deregister the memory. Not if a write is still in doubt."""
        if not self._left:
            self._agent.close()

    # -- progress --------------------------------------------------------------------------------

    def _progress(self) -> None:
        """Take what has come, look at the pieces in flight, then post what the budget allows."""
        notices = self._agent.notices()
        if notices:
            self._moved_ns = self._clock()
            for notice in notices:
                self._receives.notice(*NOTICE.unpack(notice))
        self._receives.poll()
        if self._moving:
            for sent in list(self._moving.values()):
                self._look_at(sent)
        if self._left:
            self._look_at_left()
        if self._unwritten:
            self._begin_written()
        self._posting.poll()

    def _look_at(self, sent: Send) -> None:
        """Ask for the state of each piece in flight."""
        left: list[tuple[Handle, int]] = []
        for handle, count in sent.handles:
            try:
                if not self._agent.is_done(handle):
                    left.append((handle, count))
                    continue
            except self._lost as error:
                self._lose(sent, str(error))
                self._agent.release(handle)
            else:
                self._finished(sent, handle, count)
            self._account(sent, count)
        sent.handles = left
        if not left:
            del self._moving[sent.transfer.session]
        if not self._end_if_over(sent) and sent.waits_for_others():
            self._posting.queue(sent)

    def _look_at_left(self) -> None:
        left: list[Handle] = []
        for handle in self._left:
            try:
                if not self._agent.is_done(handle):
                    left.append(handle)
                    continue
            except self._lost:
                pass
            self._agent.release(handle)
        self._left = left

    def _begin_written(self) -> None:
        waiting, self._unwritten = self._unwritten, []
        for fence, sent in waiting:
            if sent.is_over():
                continue  # withdrawn meanwhile
            if fence.passed():
                self._posting.queue(sent)
            else:
                self._unwritten.append((fence, sent))

    def _cut(self, transfer: Transfer) -> list[Piece]:
        return cut(transfer.source, transfer.target, *self._cut_limits)

    # -- pieces ----------------------------------------------------------------------------------

    def _post_whole(self, sent: Send) -> bool:
        """Post a transfer of one piece at once, if nothing is before it and the bounds allow;
        returns whether it is handled."""
        (piece,) = sent.cut
        peer, size = sent.transfer.receiver, piece.end * self._block_bytes
        if not self._posting.charge(peer, size, piece.descriptors):
            return False
        posted = self._post_piece(sent)
        if not posted.nbytes:
            self._posting.give_back(peer, size, piece.descriptors)
        elif posted.ended:
            self._posting.ended(peer, size)
        return True

    def _post_next(self, sent: Send) -> Posted | None:
        """Post the next piece, if it fits into what is left of the budget."""
        if not self._posting.fits(sent.cut[sent.posted].descriptors):
            return None
        return self._post_piece(sent)

    def _post_piece(self, sent: Send) -> Posted:
        """Post the next piece. If the connection is lost, the transfer has been stopped."""
        number = sent.posted
        piece = sent.cut[number]
        needed, notice = sent.needs(number), b""
        if needed or number % NOTICE_EVERY == NOTICE_EVERY - 1:
            notice = NOTICE.pack(sent.transfer.tag, needed)
        count = piece.end - piece.first
        size = count * self._block_bytes
        run = sent.run(piece) if notice else None
        try:
            if run is not None:
                handle = self._agent.prepare_run(sent.peer(), *run, count)
            else:
                handle = self._agent.prepare(sent.peer(), *sent.blocks(piece), notice)
        except self._lost as error:
            self._lose(sent, str(error))
            return Posted(0, ended=True)
        sent.posted += 1
        try:
            done = self._agent.post(handle, notice if run is not None else b"")
        except self._lost as error:
            # Some of it may be on its way: it is asked for its state until it has ended.
            self._lose(sent, str(error))
            done = False
        if done:
            self._finished(sent, handle, count)
            self._end_if_over(sent)
        else:
            sent.handles.append((handle, count))
            self._moving[sent.transfer.session] = sent
        return Posted(size, piece.descriptors, ended=done)

    def _finished(self, sent: Send, handle: Handle, count: int) -> None:
        sent.moved_blocks += count
        self._moved_ns = self._clock()
        self._agent.finish(handle)

    def _account(self, sent: Send, blocks: int) -> None:
        self._posting.ended(sent.peer(), blocks * self._block_bytes)

    def _stop(self, sent: Send) -> None:
        """Post no further piece."""
        sent.stop()
        self._posting.remove(sent)

    def _lose(self, sent: Send, why: str) -> None:
        """The connection is lost. The transfer stays in doubt until its peer has failed."""
        if not sent.error:
            sent.error = why
            self._ended.append(TransportEnd(sent.transfer.session, EndKind.LOST, detail=why))
        self._stop(sent)

    def _end_if_over(self, sent: Send) -> bool:
        if not sent.is_over() or (sent.error and not self.has_failed(sent.peer())):
            return False
        session = sent.transfer.session
        del self._sending[session]
        whole = sent.posted == len(sent.cut) and not sent.error
        self._ended.append(
            TransportEnd(
                session,
                EndKind.DONE if whole else EndKind.FAILED,
                sent.moved_blocks * self._block_bytes,
                sent.posted,
                "" if whole else f"ended after {sent.posted} of {len(sent.cut)} pieces",
            )
        )
        return True
