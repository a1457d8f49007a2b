"""KV bytes over MPI: non-blocking, two-sided, straight from block to block.

The receiver posts one receive per piece before it advertises, the sender one send per piece, on a
communicator that carries nothing else. The pieces of one transfer share its tag: MPI matches them
in order. Large pieces are copied once, by the process that receives them.

Proof of quiescence is the process's own request: a receive that completed or was successfully
cancelled, a send that completed. A receiver that cancelled on its own would leave a posted send
without an end, so it cancels only what the sender said it will never use (`peer_ended`).

A death takes the communicator along (`move`): every request on it ends, mostly with an error, and
that is the proof for both sides. What a receiver had advertised before is void then.

Posting is bounded: a budget per call, and a window per peer, so that a peer that does not take its
bytes holds up nobody else's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from mpi4py import MPI

from adpkv.core.ids import SessionId
from adpkv.core.news import Unread
from adpkv.core.ranges import pieces
from adpkv.errors import AdpkvError
from adpkv.transport.mpi_opened import Heads, Opened, is_over
from adpkv.transport.port import EndKind, Proof, Transfer, TransportEnd

__all__ = ["BlockBytes", "MpiTransport"]

WINDOW_BUDGETS: Final = 16
"""Posted and unfinished bytes towards one peer, in budgets: enough to keep it busy while this side
is elsewhere. With 4 of 4 MiB, 64 blocks of 1 MiB went at 0.64 to 0.77 of a bare isend's speed, with
8 at 0.86 to 0.90, with 16 at 0.93 to 1.03 (medians, two ranks on a busy machine)."""


class BlockBytes(Protocol):
    """What this transport needs of a memory."""

    block_bytes: int

    def view(self, first: int, count: int) -> memoryview:
        """The bytes of neighbouring blocks, in place."""
        ...


class MpiTransport:
    """`transport.port.Transport` over one communicator of all ranks.

    `piece_bytes` bounds one piece, `budget_bytes` what is posted between two polls. `unread`
    follows how long an end is not polled once somebody has seen that there is one. `broke` is told
    when MPI reports an error: then nothing moves until `move`. Without it the error is raised.
    """

    name = "mpi"
    proofs = (Proof.RECEIVE_ENDED, Proof.BACKEND_DONE)
    can_withdraw = True

    def __init__(
        self,
        communicator: MPI.Intracomm,
        memory: BlockBytes,
        *,
        piece_bytes: int,
        budget_bytes: int,
        clock: Callable[[], int],
        unread: Unread | None = None,
        broke: Callable[[], None] | None = None,
    ) -> None:
        self._comm, self._memory, self._clock = communicator, memory, clock
        self._broke, self._broken = broke, False
        self._place_of: Callable[[int], int | None] = lambda rank: rank
        self._next_tag = 0
        """Beyond all that this rank's receives have used."""
        self._void_tags: Mapping[int, int] = {}
        """What each receiver advertised below this tag was on a communicator that is gone."""
        self._unread = unread
        self._most_blocks = max(1, piece_bytes // memory.block_bytes)
        self._budget_bytes = self._left_bytes = budget_bytes
        self._tags = int(communicator.Get_attr(MPI.TAG_UB) or 32_767) + 1
        self._sending: dict[SessionId, Opened] = {}
        self._receiving: dict[SessionId, Opened] = {}
        self._queues: dict[int, deque[Opened]] = {}
        """Towards each peer, transfers with pieces that are not posted; no empty ones."""
        self._outstanding_bytes: dict[int, int] = {}
        self._heads = Heads()
        self._lingering: list[Opened] = []
        self._ended: list[TransportEnd] = []
        self._left: list[MPI.Request] = []
        """Closed, and not over yet."""
        self._moved_ns = 0

    def expect(self, transfer: Transfer) -> bool:
        """Post a receive for each piece, unless the sender is dead."""
        place = self._place_of(transfer.sender)
        if place is None:
            return False
        found = self._open(transfer, self._receiving, False)
        self._next_tag = max(self._next_tag, transfer.tag + 1)
        if not self._broken:
            self._guarded(lambda: self._listen(found, place))
        self._end_if_over(found)
        return True

    def post(self, transfer: Transfer) -> None:
        """Begin to send, within what is left of the budget."""
        found = self._open(transfer, self._sending, True)
        nobody = self._place_of(transfer.receiver) is None
        if nobody or transfer.tag < self._void_tags.get(transfer.receiver, 0):
            found.break_off()
        if found.wanted:
            self._queues.setdefault(transfer.receiver, deque()).append(found)
            self._post_more()
        else:
            self._end_if_over(found)

    def withdraw(self, session: SessionId) -> None:
        """Sender: post no further piece. Receiver: nothing, its peer must say how far it came."""
        found = self._sending.get(session)
        if self._broken or found is None or len(found.requests) == found.wanted:
            return  # if broken: everything will end by itself
        found.wanted = len(found.requests)
        queue = self._queues[found.transfer.receiver]
        queue.remove(found)
        if not queue:
            del self._queues[found.transfer.receiver]
        self._end_if_over(found)

    def peer_ended(self, session: SessionId, pieces: int) -> None:
        """Receiver: cancel what the sender will never use; that is the proof."""
        found = self._receiving.get(session)
        if found is None or pieces >= found.wanted:
            return
        if pieces <= found.finished:
            self._heads.forget(found)
        found.cancel_from(max(pieces, found.finished))
        # A peer may say it twice, and each time of another piece.
        if not self._end_if_over(found) and found.lingering and found not in self._lingering:
            self._lingering.append(found)

    def poll(self) -> list[TransportEnd]:
        """What ended since the last call."""
        self._progress()
        ended, self._ended = self._ended, []
        if ended and self._unread is not None:
            self._unread.taken(self._clock())
        return ended

    def ready(self) -> bool:
        """Make progress without waiting: would `poll` report something now?"""
        if not self._ended:
            self._progress()
        if self._ended and self._unread is not None:
            self._unread.came(self._clock(), self._ended[0].session[0])
        return bool(self._ended)

    def last_moved_ns(self) -> int:
        """When a piece last ended, on this rank's clock."""
        return self._moved_ns

    def halt(self) -> int:
        """A rank has died: move nothing until `move`. The tag below which this rank's receives are
        void."""
        self._broken = True
        return self._next_tag

    def move(
        self,
        communicator: MPI.Intracomm,
        place_of: Callable[[int], int | None],
        broke: Callable[[], None],
        void_tags: Mapping[int, int],
    ) -> None:
        """Go on over another communicator. What was open ends as its own requests do; `place_of`
        says what MPI calls a rank there, `void_tags` what each receiver can no longer take."""
        self._comm, self._place_of, self._broke = communicator, place_of, broke
        self._void_tags, self._broken = dict(void_tags), False
        self._heads.clear()
        self._queues.clear()
        self._outstanding_bytes.clear()
        broken = [*self._receiving.values(), *self._sending.values()]
        for found in broken:
            found.break_off()
            peer = found.transfer.receiver if found.sends else found.transfer.sender
            if place_of(peer) is None:
                self._ended.append(TransportEnd(found.transfer.session, EndKind.LOST))
        self._lingering = [found for found in broken if not self._end_if_over(found)]

    def close(self) -> None:
        """Cancel the receives that are left. A send in doubt stays: nothing can take it back, only
        its receiver can take it in (`discard`)."""
        self._heads.clear()
        self._queues.clear()
        for found in self._receiving.values():
            found.cancel_from(found.finished)
            self._left += found.lingering
        for found in self._sending.values():
            self._left += found.requests[found.finished :]
        self._lingering.clear()
        self._receiving.clear()
        self._sending.clear()

    def settled(self) -> bool:
        """After `close`, without waiting: is nothing of this rank's on its way any more?"""
        self._left = [request for request in self._left if not is_over(request)]
        return not self._left

    def discard(self) -> None:
        """After `close`, without waiting: take in the bytes that nobody expects any more, so that
        their sends end."""
        status = MPI.Status()
        while (message := self._comm.Improbe(MPI.ANY_SOURCE, MPI.ANY_TAG, status)) is not None:
            landing = bytearray(status.Get_count(MPI.BYTE))
            self._left.append(message.Irecv([landing, len(landing), MPI.BYTE]))

    def _open(self, transfer: Transfer, book: dict[SessionId, Opened], sends: bool) -> Opened:
        if transfer.session in book:
            raise AdpkvError(f"session {transfer.session} is already open in transport mpi")
        cut = pieces(transfer.source, transfer.target, self._most_blocks)
        found = book[transfer.session] = Opened(transfer, cut, sends)
        return found

    def _listen(self, found: Opened, place: int) -> None:
        transfer, irecv, view = found.transfer, self._comm.Irecv, self._memory.view
        tag = transfer.tag % self._tags
        for _, target, count in found.cut:
            landing = view(target, count)
            found.requests.append(irecv([landing, len(landing), MPI.BYTE], place, tag))
        self._heads.watch(found)

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except MPI.Exception:
            if self._broke is None:
                raise
            self._broken = True
            self._broke()

    def _progress(self) -> None:
        """Take in what finished, then post what the budget allows."""
        if not self._broken:
            self._guarded(self._look)

    def _look(self) -> None:
        if self._heads:
            finished = self._heads.finished()
            if finished:
                self._moved_ns = self._clock()
                for found in finished:
                    self._follow(found)
        if self._lingering:
            self._lingering = [found for found in self._lingering if not self._end_if_over(found)]
        self._left_bytes = self._budget_bytes
        if self._queues:
            self._post_more()

    def _follow(self, found: Opened) -> None:
        """The first open piece ended: look at those behind it, then watch the one that has not."""
        self._note(found)
        while found.finished < len(found.requests) and found.requests[found.finished].Test():
            self._note(found)
        if not self._end_if_over(found):
            self._heads.watch(found)

    def _note(self, found: Opened) -> None:
        size = found.cut[found.finished][2] * self._memory.block_bytes
        if found.sends:
            self._outstanding_bytes[found.transfer.receiver] -= size
        found.finished += 1
        found.moved_bytes += size

    def _end_if_over(self, found: Opened) -> bool:
        if not found.over():
            return False
        # A transfer may be looked at as a head and as one that lingers: its end is told once, and
        # never that of another one with the same id.
        book = self._sending if found.sends else self._receiving
        if book.get(found.transfer.session) is found:
            del book[found.transfer.session]
            self._ended.append(found.end())
        return True

    def _post_more(self) -> None:
        """Serve the peers in turn until the budget is used up or their windows are full."""
        if not self._broken:
            self._guarded(self._serve_peers)

    def _serve_peers(self) -> None:
        for peer in list(self._queues):
            if self._left_bytes <= 0:
                return
            self._post_to(peer)

    def _post_to(self, peer: int) -> None:
        """Post to one peer; afterwards it is the last in turn."""
        queue = self._queues.pop(peer)
        window_bytes = WINDOW_BUDGETS * self._budget_bytes
        open_bytes = self._outstanding_bytes.get(peer, 0)
        place = self._place_of(peer)
        assert place is not None
        while queue and self._left_bytes > 0 and open_bytes < window_bytes:
            found = queue[0]
            source, _, count = found.cut[len(found.requests)]
            leaving = self._memory.view(source, count)
            size = len(leaving)
            found.requests.append(
                self._comm.Isend([leaving, size, MPI.BYTE], place, found.transfer.tag % self._tags)
            )
            self._left_bytes -= size
            open_bytes += size
            self._heads.watch(found)
            if len(found.requests) == len(found.cut):
                queue.popleft()
        self._outstanding_bytes[peer] = open_bytes
        if queue:
            self._queues[peer] = queue
