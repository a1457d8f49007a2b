"""A transport between pools, over one between staging areas (contract 2.6).

The sender packs scattered blocks of its pool into its slot, the inner transport moves adjacent
blocks of the slot into the receiver's slot, and the receiver unpacks them. So a peer touches slots
and never a block. One end of a transfer is in one slot, whose two halves take turns: while a chunk
is on its way, the next one is packed, or the one before unpacked.

The receiver expects the first two chunks before it advertises. When it has unpacked a chunk, it
expects the one after the next, and only then tells the sender how many are unpacked. So the inner
transport never gets bytes that are not expected.

A transfer that is stopped is not packed, posted, expected or unpacked any more. What the inner
transport has open ends by its own proofs, and then the transfer has ended.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from typing import Final

from adpkv.core.ids import NEVER, SOON_NS, SessionId
from adpkv.memory.port import SlotWatch, StagingArea
from adpkv.transport.port import EndKind, Proof, Transfer, Transport, TransportEnd
from adpkv.transport.staged_chunks import (
    AHEAD,
    ALL,
    Posted,
    Receiving,
    Sending,
    Staged,
    chunk_of,
)
from adpkv.transport.staged_slots import StagingSlots

__all__ = ["StagedTransport"]

TURN_NS: Final = 150_000
"""After so much time in one call nothing more is packed, posted or unpacked in it: with cold caches
a launch takes 90 µs and a post 140. To pack both halves of a slot takes 60 to 100, and the first is
packed on the device by then: with 100 it was posted 20 µs later, in the next call."""

_NOT_FINAL: Final = frozenset({EndKind.ERROR, EndKind.LOST})


class StagedTransport:
    """`transport.port.Transport` over another one between the ranks' staging areas.

    Args:
        inner: moves bytes between the areas.
        area: this rank's staging area.
        tell: `tell(sender, session, chunks)` sends the message that so many chunks of a session are
            unpacked; it is given to `unpacked` there. It may be lost, and may come twice.
        pack_bytes: how much may be packed and unpacked between two polls.
        repeat_ns: after how long without bytes the message is sent again.
        clock: nanoseconds.
        wake: `wake(at_ns)` asks the world to poll this transport at that time.
        watch: the checks of the area, if it has any.
    """

    def __init__(
        self,
        inner: Transport,
        area: StagingArea,
        tell: Callable[[int, SessionId, int], None],
        *,
        pack_bytes: int,
        repeat_ns: int,
        clock: Callable[[], int],
        wake: Callable[[int], None],
        watch: SlotWatch | None = None,
    ) -> None:
        self.name = inner.name
        self.proofs: Collection[Proof] = inner.proofs
        self.can_withdraw = inner.can_withdraw
        self.last_moved_ns, self.has_failed = inner.last_moved_ns, inner.has_failed
        self._inner, self._tell = inner, tell
        self._slots = StagingSlots(area, pack_bytes, watch)
        self._repeat_ns, self._repeat_at_ns = repeat_ns, NEVER
        self._clock, self._wake = clock, wake
        self._turn_ends_ns = NEVER
        self._is_first = True
        """Whether nothing was packed, posted or unpacked in this call."""
        self._sending: dict[SessionId, Sending] = {}
        self._receiving: dict[SessionId, Receiving] = {}
        self._unwanted: list[SessionId] = []
        """Chunks that the inner transport expects, of transfers that were refused. They are ended
        right before a poll, which takes in their ends."""
        self._lost_ns: dict[int, int] = {}
        """From when on it is seen that a rank has failed; without an entry at once."""
        self._ended: list[TransportEnd] = []
        self._soon: deque[tuple[int, TransportEnd]] = deque()
        """Ends that are reported from a certain time on, in its order. What a rank does itself has
        its effect later, or a rank that looks again at the same instant would see it earlier."""

    # -- calls of the rank -----------------------------------------------------------------------

    def expect(self, transfer: Transfer) -> bool:
        """Receiver: expect the first two chunks."""
        found = Receiving(transfer, self._slots.half)
        self._slots.take(found, transfer.target)
        self._slots.prepare(found, transfer.target)
        while found.expected < min(AHEAD, found.chunks):
            if not self._expect_next(found):
                # No peer knows of the chunks before it: they are ended, and nobody is told.
                for chunk in sorted(found.open):
                    self._unwanted.append(found.inner(chunk))
                    self._slots.take_back(found, chunk)
                self._slots.give_back(found)
                return False
        self._receiving[transfer.session] = found
        return True

    def post(self, transfer: Transfer) -> None:
        """Sender: begin to pack, and post what is packed."""
        self._begin_turn()
        found = self._sending[transfer.session] = Sending(transfer, self._slots.half)
        self._slots.take(found, transfer.source)
        # A single chunk's list goes with its copy.
        self._slots.prepare(found, transfer.source, least_chunks=AHEAD)
        if self.has_failed(transfer.receiver):
            found.stopped = True
            self._end_if_over(found, soon=True)
        self._send(found)

    def withdraw(self, session: SessionId) -> None:
        """Sender: pack and post no further chunk, and withdraw those that are posted. Receiver: the
        inner transport is asked to end what it can prove."""
        sending, receiving = self._sending.get(session), self._receiving.get(session)
        if sending is not None:
            self._stop_sending(sending)
            self._end_if_over(sending, soon=True)
        elif receiving is not None:
            for chunk in sorted(receiving.open):
                self._inner.withdraw(receiving.inner(chunk))

    def retire(self, session: SessionId) -> None:
        """The request is over, and its blocks go to others: never touch them again."""
        sending, receiving = self._sending.get(session), self._receiving.get(session)
        if sending is not None:
            self._stop_sending(sending)
            self._end_if_over(sending, soon=True)
        elif receiving is not None:
            receiving.stopped = receiving.known = True
            self._end_if_over(receiving, soon=True)

    def peer_ended(self, session: SessionId, pieces: int) -> None:
        """Receiver: the sender posts no more than this (`Posted`)."""
        found, posted = self._receiving.get(session), Posted.of(pieces)
        if found is None or posted.first >= found.chunks:
            return
        found.stopped = found.known = True
        for chunk in sorted(found.open):
            count = posted.pieces_of(chunk)
            if count != ALL:
                self._inner.peer_ended(found.inner(chunk), count)
        self._end_if_over(found)

    def unpacked(self, session: SessionId, chunks: int) -> None:
        """Sender: the receiver's message that it has unpacked so many chunks."""
        found = self._sending.get(session)
        if found is not None:
            self._begin_turn()
            found.allowed = max(found.allowed, chunks + AHEAD)
            self._send(found)

    def handle_peer_failure(self, rank: int) -> None:
        """A rank has failed, and the inner transport knows. It reports on the chunks that it has
        open; a transfer without any must be looked at too."""
        every = (*self._sending.values(), *self._receiving.values())
        if any(rank in (one.transfer.sender, one.transfer.receiver) for one in every):
            # Not before: whoever happens to poll at this very instant would see it earlier.
            self._lost_ns[rank] = self._clock() + SOON_NS
            self._wake(self._lost_ns[rank])

    def _is_lost(self, rank: int) -> bool:
        return self.has_failed(rank) and self._clock() >= self._lost_ns.get(rank, 0)

    def poll(self) -> list[TransportEnd]:
        """The transfers that ended since the last call."""
        self._progress()
        ended, self._ended = self._ended, []
        while self._soon and self._soon[0][0] <= self._clock():
            ended.append(self._soon.popleft()[1])
        return ended

    def ready(self) -> bool:
        """Make progress without waiting; returns whether `poll` would report an end now."""
        self._progress()
        return bool(self._ended) or bool(self._soon and self._soon[0][0] <= self._clock())

    def close(self) -> None:
        """Forget what is open, and close the inner transport."""
        self._sending.clear()
        self._receiving.clear()
        self._inner.close()

    # -- progress --------------------------------------------------------------------------------

    def _progress(self) -> None:
        """Process what the inner transport has ended, then pack, post, unpack and expect."""
        self._begin_turn()
        while self._unwanted:
            self._inner.peer_ended(self._unwanted.pop(), 0)
        for end in self._inner.poll():
            self._on_end(end)
        self._slots.renew()
        for sending in list(self._sending.values()):
            self._look_at_receiver(sending)
            self._send(sending)
            self._end_if_over(sending)
        for receiving in list(self._receiving.values()):
            self._receive(receiving)
            self._end_if_over(receiving)
        if self._repeat_at_ns < NEVER and self._clock() >= self._repeat_at_ns:
            self._repeat()

    def _begin_turn(self) -> None:
        self._turn_ends_ns, self._is_first = self._clock() + TURN_NS, True

    def _has_time(self) -> bool:
        """Whether one thing more may be done in this call; the first may always."""
        return self._is_first or self._clock() < self._turn_ends_ns

    def _on_end(self, end: TransportEnd) -> None:
        session, chunk = chunk_of(end.session)
        sending, receiving = self._sending.get(session), self._receiving.get(session)
        if sending is not None and chunk in sending.open:
            self._on_sent(sending, chunk, end)
        elif receiving is not None and chunk in receiving.open:
            self._on_landed(receiving, chunk, end)

    def _on_sent(self, found: Sending, chunk: int, end: TransportEnd) -> None:
        if end.kind in _NOT_FINAL:
            self._tell_once(found, end.kind, end.detail)
        else:
            found.moved_bytes += end.nbytes
            whole = end.kind is EndKind.DONE
            found.ended(chunk, ALL if whole else min(end.pieces, ALL - 1))
            self._slots.take_back(found, chunk)
            if whole:
                return
        self._stop_sending(found)

    def _on_landed(self, found: Receiving, chunk: int, end: TransportEnd) -> None:
        if end.kind in _NOT_FINAL:
            self._tell_once(found, end.kind, end.detail)
        else:
            found.moved_bytes += end.nbytes
            found.open.discard(chunk)
            self._slots.take_back(found, chunk)
            if end.kind is EndKind.DONE:
                found.landed.add(chunk)
                return
        found.stopped = True

    def _stop_sending(self, found: Sending) -> None:
        found.stopped = True
        for chunk in sorted(found.open):
            self._inner.withdraw(found.inner(chunk))

    # -- the sender's chunks ---------------------------------------------------------------------

    def _send(self, found: Sending) -> None:
        while not found.stopped and self._has_time():
            if not (self._post_next(found) or self._slots.pack(found)):
                return
            self._is_first = False

    def _look_at_receiver(self, found: Sending) -> None:
        """End a transfer to a failed rank of which the inner transport has nothing to report."""
        receiver = found.transfer.receiver
        if not found.stopped and not found.open and self._is_lost(receiver):
            self._tell_once(found, EndKind.LOST, f"rank {receiver} has failed")
            found.stopped = True

    def _post_next(self, found: Sending) -> bool:
        ahead = found.ahead
        if not ahead or found.posted >= found.allowed or not ahead[0].fence.passed():
            return False
        chunk = ahead.popleft().chunk
        found.posted += 1
        found.open.add(chunk)
        self._inner.post(self._slots.lend_to_receiver(found, chunk))
        return True

    # -- the receiver's chunks -------------------------------------------------------------------

    def _expect_next(self, found: Receiving) -> bool:
        chunk = found.expected
        if not self._inner.expect(self._slots.lend_to_sender(found, chunk)):
            self._slots.take_back(found, chunk)
            return False
        found.open.add(chunk)
        found.expected += 1
        return True

    def _receive(self, found: Receiving) -> None:
        while not found.stopped and found.unpacked < found.chunks:
            if found.fence is None:
                if not self._has_time() or not self._slots.unpack(found):
                    break
                self._is_first = False
            elif found.fence.passed():
                self._is_unpacked(found)
            else:
                break
        self._look_at_sender(found)
        if found.stopped and not found.known and (found.open or found.expected < found.chunks):
            # This rank alone knows, and its sender waits for it: an error without proof tells it.
            found.known = True
            if not found.told:
                self._tell_once(found, EndKind.ERROR, "a chunk has failed")

    def _is_unpacked(self, found: Receiving) -> None:
        """The next chunk is in the pool, and its half is free: expect the next chunk for it."""
        found.landed.discard(found.unpacked)
        found.unpacked += 1
        found.part, found.fence = 0, None
        if found.expected == found.chunks:
            return
        if self._expect_next(found):
            self._tell_sender(found)
        else:
            found.stopped = True
            if self.has_failed(found.transfer.sender):
                self._tell_once(found, EndKind.LOST, f"rank {found.transfer.sender} has failed")

    def _look_at_sender(self, found: Receiving) -> None:
        """End a transfer that waits for nothing of its failed sender but what never comes."""
        sender = found.transfer.sender
        waits = not found.open and found.expected < found.chunks
        if waits and not found.stopped and self._is_lost(sender):
            self._tell_once(found, EndKind.LOST, f"rank {sender} has failed")
            found.stopped = True

    def _tell_sender(self, found: Receiving) -> None:
        found.told_ns = self._clock()
        self._tell(found.transfer.sender, found.transfer.session, found.unpacked)
        if self._repeat_at_ns == NEVER:
            self._repeat_at_ns = found.told_ns + self._repeat_ns
            self._wake(self._repeat_at_ns)

    def _repeat(self) -> None:
        """Send again what may have been lost; one timer is enough for all transfers."""
        now_ns = self._clock()
        waiting = [one for one in self._receiving.values() if one.awaits_more()]
        for found in waiting:
            if now_ns >= found.told_ns + self._repeat_ns:
                self._tell_sender(found)
        told_ns = min((found.told_ns for found in waiting), default=NEVER)
        self._repeat_at_ns = min(told_ns + self._repeat_ns, NEVER)
        if self._repeat_at_ns < NEVER:
            self._wake(self._repeat_at_ns)

    # -- ends --------------------------------------------------------------------------------

    def _tell_once(self, found: Staged, kind: EndKind, detail: str) -> None:
        """Report an end without proof, but each kind once for a transfer."""
        if kind not in found.told:
            found.told.add(kind)
            self._ended.append(TransportEnd(found.transfer.session, kind, detail=detail))

    def _end_if_over(self, found: Sending | Receiving, *, soon: bool = False) -> None:
        if not found.done and (not found.stopped or found.open):
            return
        if isinstance(found, Sending):
            del self._sending[found.transfer.session]
        else:
            del self._receiving[found.transfer.session]
        self._slots.give_back(found)
        end = found.end()
        if soon:
            at_ns = self._clock() + SOON_NS
            self._soon.append((at_ns, end))
            self._wake(at_ns)
        else:
            self._ended.append(end)
