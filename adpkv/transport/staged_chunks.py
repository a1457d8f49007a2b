"""How a staged transfer is cut into chunks, and what each end knows of its own.

A chunk is at most half a slot. Chunk `c` uses half `c % 2` of the slot at both ends, so one half is
on its way while the other is packed or unpacked.
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

from adpkv.core.ids import RequestId, SessionId
from adpkv.memory.port import Fence
from adpkv.transport.port import EndKind, Transfer, TransportEnd

__all__ = ["ALL", "Ahead", "Posted", "Receiving", "Sending", "Staged", "chunk_of"]

AHEAD: Final = 2
"""How many chunks are in flight at most: one for each half."""

_CHUNKS: Final = 1 << 32
"""More than the chunks of any transfer."""

_BITS: Final = 20
ALL: Final = (1 << _BITS) - 1
"""In place of a number of pieces: all pieces of the chunk were posted."""


def chunk_of(session: SessionId) -> tuple[SessionId, int]:
    """The (session, chunk) that an inner session stands for; the reverse of `Staged.inner`."""
    attempt, chunk = divmod(session[1], _CHUNKS)
    return (session[0], attempt), chunk


class Posted(NamedTuple):
    """How far a sender came with a transfer that it has ended: all chunks before `first` were
    posted, of the next two chunks these numbers of pieces, and nothing after them.

    One number would not do: both halves of a slot may be on their way, and a fault may hold the
    earlier one back. A message has room for one integer, so it is packed into one; 0 still means
    that nothing was posted.
    """

    first: int
    pieces: int = 0
    next_pieces: int = 0

    def packed(self) -> int:
        """As the `pieces` of a `TransportEnd`."""
        return (self.first << 2 * _BITS) | (self.pieces << _BITS) | self.next_pieces

    @classmethod
    def of(cls, packed: int) -> Posted:
        """The reverse of `packed`."""
        return cls(packed >> 2 * _BITS, (packed >> _BITS) & ALL, packed & ALL)

    def pieces_of(self, chunk: int) -> int:
        """How many pieces of a chunk were posted; `ALL` for all of them."""
        if chunk < self.first:
            return ALL
        return (self.pieces, self.next_pieces)[chunk - self.first] if chunk < self.first + 2 else 0


class Staged:
    """One end of a staged transfer. `open` are its chunks that the inner transport has."""

    def __init__(self, transfer: Transfer, slot: int, count: int, half: int) -> None:
        self.transfer = transfer
        self.slot = slot
        self.count = count
        """How many blocks it has."""
        self.half = half
        self.chunks = -(-count // half)
        self.open: set[int] = set()
        self.stopped = False
        """Nothing more of it is packed, posted, expected or unpacked."""
        self.told: set[EndKind] = set()
        """The ends without proof that were reported already."""
        self.moved_bytes = 0

    @property
    def done(self) -> bool:
        """Whether all of it is sent, or unpacked."""
        raise NotImplementedError

    def how_far(self) -> Posted:
        """Sender: what was posted, once it has ended."""
        return Posted(0)

    def end(self) -> TransportEnd:
        """What `poll` reports once it is over."""
        kind = EndKind.DONE if self.done else EndKind.FAILED
        pieces = self.how_far().packed()
        return TransportEnd(self.transfer.session, kind, self.moved_bytes, pieces)

    def blocks(self, chunk: int) -> range:
        """The places in the transfer that a chunk has."""
        first = chunk * self.half
        return range(first, min(first + self.half, self.count))

    def inner(self, chunk: int) -> SessionId:
        """The session of a chunk in the inner transport. No other attempt of the request has it,
        and it has the request's number, by which faults and people know it."""
        request_id, attempt = self.transfer.session
        return RequestId(request_id), attempt * _CHUNKS + chunk

    def chunk(self, chunk: int, first_source: int, first_target: int, nbytes: int) -> Transfer:
        """A chunk as the inner transport gets it, from adjacent blocks of one area to adjacent
        blocks of the other.

        Its tag follows from the half: a chunk is expected when the one before it in the same half
        is over, so equal tags are never open together.
        """
        whole, count = self.transfer, len(self.blocks(chunk))
        return Transfer(
            *self.inner(chunk),
            whole.sender,
            whole.receiver,
            AHEAD * whole.tag + chunk % AHEAD,
            range(first_source, first_source + count),
            range(first_target, first_target + count),
            nbytes,
        )


class Ahead(NamedTuple):
    """A chunk that is packed and not posted: it waits for its fence, or for the receiver."""

    chunk: int
    fence: Fence


class Sending(Staged):
    """A sender's end."""

    def __init__(self, transfer: Transfer, half: int) -> None:
        super().__init__(transfer, transfer.source_slot, len(transfer.source), half)
        self.packed = 0
        """How many chunks are packed; `part` blocks of the next one are packed too."""
        self.part = 0
        self.ahead: deque[Ahead] = deque()
        self.posted = 0
        self.allowed = AHEAD
        """How many chunks the receiver expects by now, or has had."""
        self.sent: dict[int, int] = {}
        """Pieces by chunk, of chunks that have ended and were not sent in order; `ALL` if it was
        sent whole."""
        self.finished = 0
        """How many chunks are sent, without a gap."""

    @property
    def done(self) -> bool:
        """Whether all chunks are sent."""
        return self.finished == self.chunks

    def may_pack(self) -> bool:
        """Whether the next chunk's half is free: what was in it before is sent."""
        chunk = self.packed
        if chunk >= self.chunks or self.stopped:
            return False
        before = chunk - AHEAD
        return before < self.finished or self.sent.get(before) == ALL

    def ended(self, chunk: int, pieces: int) -> None:
        """The inner transport has ended a chunk; `ALL` pieces: it was sent."""
        self.open.discard(chunk)
        self.sent[chunk] = pieces
        while self.sent.get(self.finished) == ALL:
            del self.sent[self.finished]
            self.finished += 1

    def how_far(self) -> Posted:
        """What was posted, once it has ended."""
        return Posted(self.finished, *(self.sent.get(self.finished + i, 0) for i in range(AHEAD)))


class Receiving(Staged):
    """A receiver's end."""

    def __init__(self, transfer: Transfer, half: int) -> None:
        super().__init__(transfer, transfer.target_slot, len(transfer.target), half)
        self.expected = 0
        self.landed: set[int] = set()
        """Chunks whose bytes are in the slot and not unpacked."""
        self.part = 0
        """How many blocks of the next chunk are unpacked already."""
        self.fence: Fence | None = None
        """Set while the next chunk is being unpacked."""
        self.unpacked = 0
        """How many chunks are unpacked; they are unpacked in order."""
        self.told_ns = -1
        """When the sender was last told how many; -1 before."""
        self.known = False
        """Its rank or its sender knows that nothing more comes of it: nobody has to be told."""

    @property
    def done(self) -> bool:
        """Whether all chunks are unpacked."""
        return self.unpacked == self.chunks

    def awaits_more(self) -> bool:
        """Whether the sender may be waiting for the message how many chunks are unpacked."""
        return self.told_ns >= 0 and bool(self.open) and not self.stopped
