"""KV bytes over NIXL: one-sided, non-blocking writes into the receiver's blocks.

The receiver does nothing but poll. The sender writes pieces, in bounds (`transport.posting`,
`nixl_pace`), and asks for each piece's state. What proves that a transfer is over:

- To the sender: the library says DONE of each piece that it has posted. It says so when the bytes
  have arrived.
- To the receiver: the sender's notice, which the library delivers when all pieces are DONE. It goes
  with the last piece if all others have ended by then; otherwise by itself, as the library orders
  nothing between its writes, and a notice with a piece proves that piece only. A notice with each
  piece, counted by the receiver, took a fifth to a third of the bandwidth of small pieces within a
  host, and 20 µs a piece between devices.
- Or the sender's message that it has ended, which the core sends only of an end that was proven: so
  it is the library's own DONE (`peer_ended`). It answers a receiver too that was not told.
- After the sender's process has failed: see `nixl_receives`.

To release a handle stops nothing and proves nothing (ai-dynamo/nixl #2044), so a handle is released
only when it has ended, and `withdraw` means to post no more. Where a connection is lost under a
write and the peer is not known to have failed, nothing is proven: the transfer stays in doubt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from adpkv.core.ids import SessionId
from adpkv.core.inbox_age import InboxAge
from adpkv.errors import AdpkvError
from adpkv.memory.port import PASSED, Fence
from adpkv.transport.cards import Card
from adpkv.transport.nixl_agent import Agent, Exposed
from adpkv.transport.nixl_opened import Send
from adpkv.transport.nixl_pace import Pace
from adpkv.transport.nixl_receives import Receives
from adpkv.transport.nixl_writes import NOTICE, Writes
from adpkv.transport.port import EndKind, Proof, Transfer, TransportEnd
from adpkv.transport.posting import NO_LIMIT, PostLimits

__all__ = ["NixlTransport"]


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
        post_ns: how long posting may take between two polls. If it is limited, the limit of
            descriptors is that of one write.
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
        post_ns: int = NO_LIMIT,
        inbox_age: InboxAge | None = None,
        written: Callable[[], Fence] = _written,
        has_failed: Callable[[int], bool] = lambda _: False,
    ) -> None:
        self._agent = Agent(rank, memory, backend)
        self._block_bytes, self._clock, self._inbox_age = memory.block_bytes, clock, inbox_age
        self._written, self._has_failed = written, has_failed
        self._pace = Pace(clock, post_ns, limits.budget_descriptors)
        if self._pace.is_measured:
            limits = PostLimits(limits.budget_bytes, limits.window_bytes)
        self._writes = Writes(
            self._agent,
            memory.block_bytes,
            piece_bytes,
            limits,
            self._pace,
            clock,
            self._lose,
            self._end_if_over,
        )
        self._sending: dict[SessionId, Send] = {}
        self._unwritten: list[tuple[Fence, Send]] = []
        """Transfers whose KV is still being written by this rank's own device."""
        self._gone: set[int] = set()
        """The ranks that all others have agreed to have failed."""
        self._ended: list[TransportEnd] = []
        self._receives = Receives(memory.block_bytes, clock, lambda end: self._ended.append(end))
        self._noticed_ns = 0

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
        self._receives.expect(transfer)
        return True

    def has_failed(self, rank: int) -> bool:
        """Whether all ranks have agreed that this rank has failed."""
        return rank in self._gone or self._has_failed(rank)

    def post(self, transfer: Transfer) -> None:
        """Begin to write, within the rest of the budget."""
        self._pace.enter()
        found = Send(transfer)
        if found.session in self._sending:
            raise AdpkvError(f"session {found.session} is already open in transport nixl")
        self._sending[found.session] = found
        if self.has_failed(transfer.receiver):
            found.stop()
        if found.is_posted():
            self._end_if_over(found)
        else:
            self._begin(found)
        self._pace.leave()

    def _begin(self, sent: Send) -> None:
        fence = self._written()
        if fence.passed():
            self._writes.begin(sent)
        else:
            self._unwritten.append((fence, sent))

    def withdraw(self, session: SessionId) -> None:
        """Sender: post no further piece. Receiver: no effect, its peer must say how much it has
        posted."""
        found = self._sending.get(session)
        if found is not None and not found.is_posted():
            self._writes.stop(found)
            self._end_if_over(found)

    def peer_ended(self, session: SessionId, pieces: int) -> None:
        """Receiver: the sender has ended with so many blocks, and each of its writes was DONE."""
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
        """When a piece last ended or a notice last came, on this rank's clock."""
        return max(self._noticed_ns, self._writes.moved_ns)

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
                self._writes.give_up(sent)
                self._end_if_over(sent)
        self._receives.handle_peer_failure(failed)

    def close(self) -> None:
        """Post nothing more. What was posted ends by itself (`is_drained`)."""
        self._writes.close()
        self._unwritten.clear()
        self._sending.clear()
        self._receives.close()

    def is_drained(self) -> bool:
        """After `close`, without waiting: whether every write of this rank has ended."""
        self._agent.notices()
        return self._writes.all_ended()

    def discard(self) -> None:
        """After `close`, without waiting: make progress, so that the writes of others end."""
        self._agent.notices()

    def release(self) -> None:
        """All ranks have closed: deregister the memory. Not if a write is still in doubt."""
        if self._writes.all_ended():
            self._agent.close()

    # -- progress --------------------------------------------------------------------------------

    def _progress(self) -> None:
        """Take what has come, look at the pieces in flight, then post what the budget allows."""
        writes = self._writes
        writes.renew()
        if self._unwritten:
            self._pace.enter()  # they may be posted now
        if self._receives.open or not writes.moving:
            self._take_notices()
        # Otherwise no notice is waited for, and to look makes progress too.
        if self._receives.lingering:
            self._receives.poll()
        if writes.moving or writes.left:
            writes.look()
        if self._unwritten:
            self._begin_written()
        writes.poll()

    def _take_notices(self) -> None:
        notices = self._agent.notices()
        if notices:
            self._noticed_ns = self._clock()
            for notice in notices:
                self._receives.notice(*NOTICE.unpack(notice))

    def _begin_written(self) -> None:
        waiting, self._unwritten = self._unwritten, []
        for fence, sent in waiting:
            if sent.is_over():
                continue  # withdrawn meanwhile
            if fence.passed():
                self._writes.queue(sent)
            else:
                self._unwritten.append((fence, sent))

    def _lose(self, sent: Send, why: str) -> None:
        """The connection is lost. The transfer stays in doubt until its peer has failed."""
        if not sent.error:
            sent.error = why
            self._ended.append(TransportEnd(sent.session, EndKind.LOST, detail=why))
        self._writes.stop(sent)

    def _end_if_over(self, sent: Send) -> bool:
        """Report its end, if it is one. All that was posted has ended then, and if that is all of
        it, the receiver is told."""
        if not sent.is_over():
            return False
        if sent.is_whole():
            self._writes.tell(sent)
        if sent.error and not self.has_failed(sent.peer()):
            return False
        session, whole = sent.session, sent.is_whole()
        del self._sending[session]
        self._ended.append(
            TransportEnd(
                session,
                EndKind.DONE if whole else EndKind.FAILED,
                sent.moved * self._block_bytes,
                sent.posted,
                "" if whole else f"ended after {sent.posted} of {len(sent.transfer.source)} blocks",
            )
        )
        return True
