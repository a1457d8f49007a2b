"""Posts the messages of the MPI transport, on several communicators.

MPI looks for the receive that a message belongs to among all that are posted for its sender on its
communicator, oldest first. 1,023 that stood still took a third of the rate from a transfer beside
them, of the bare library too. On sixteen communicators a message meets a sixteenth of them.
"""

from __future__ import annotations

from typing import Final, Protocol

from mpi4py import MPI

from adpkv.transport.mpi_opened import RECENT, Heads, Opened
from adpkv.transport.port import Transfer
from adpkv.transport.posting import Posted, Posting, PostLimits

__all__ = ["LANES", "BlockBytes", "Lanes", "Poster", "Sends"]

LANES: Final = 16
"""How many communicators."""

SPREAD, SHIFT = 0x9E3779B1, 12
"""Of a transfer's tag times the first, these bits: successive tags, and every second one, are
spread evenly."""


class BlockBytes(Protocol):
    """What this transport needs from a memory."""

    block_bytes: int

    def view(self, first: int, count: int) -> memoryview:
        """The bytes of `count` adjacent blocks from `first`, to be read and written in place."""
        ...


class Lanes:
    """`communicator`, and copies of it once they are open. Both ends of a transfer have the same
    tag, so they take the same one. MPI frees them as it ends: to free one is a collective, which a
    failed rank would not join."""

    def __init__(self, communicator: MPI.Intracomm, most_open: int) -> None:
        self._every = [communicator]
        self._most_open = most_open

    def open(self) -> None:
        """Make the copies, if so many transfers of a rank may be open that it is worth them. Every
        rank must call it, before the first transfer."""
        if self._most_open <= RECENT:
            return
        self._every += [self._every[0].Dup() for _ in range(1, LANES)]

    def of(self, transfer: Transfer) -> MPI.Intracomm:
        """The communicator of a transfer."""
        every = self._every
        return every[(transfer.tag * SPREAD >> SHIFT) % len(every)]

    def drop(self, *, after_failure: bool) -> list[MPI.Request]:
        """Without waiting: receive every message that nobody expects, into memory that nobody
        reads. Returns the receives."""
        found, status = [], MPI.Status()
        for communicator in self._every:
            if after_failure:
                communicator.Ack_failed()  # without it, a probe of any source fails
            probe = communicator.Improbe
            while (message := probe(MPI.ANY_SOURCE, MPI.ANY_TAG, status)) is not None:
                landing = bytearray(status.Get_count(MPI.BYTE))
                found.append(message.Irecv([landing, len(landing), MPI.BYTE]))
        return found


class Poster:
    """Posts sends and receives of one rank.

    Args:
        most_blocks: how many blocks a piece has at most; so many go out in one call too.
    """

    def __init__(self, lanes: Lanes, memory: BlockBytes, most_blocks: int) -> None:
        self._lanes, self._memory, self._most_blocks = lanes, memory, most_blocks
        found = MPI.COMM_WORLD.Get_attr(MPI.TAG_UB)
        self._tags = int(found or 32_767) + 1

    def receives(self, found: Opened) -> None:
        """Post a receive for each piece.

        Raises:
            MPI.Exception: MPI refuses one; those before it are posted.
        """
        transfer, view = found.transfer, self._memory.view
        irecv, sender = self._lanes.of(transfer).Irecv, transfer.sender
        tag = transfer.tag % self._tags
        for _, target, count in found.cut:
            landing = view(target, count)
            found.requests.append(irecv([landing, len(landing), MPI.BYTE], sender, tag))

    def send(self, found: Opened) -> None:
        """Post the only piece of a transfer.

        Raises:
            MPI.Exception: MPI refuses it.
        """
        transfer, (source, _, count) = found.transfer, found.cut[0]
        leaving = self._memory.view(source, count)
        isend, tag = self._lanes.of(transfer).Isend, transfer.tag % self._tags
        found.requests.append(isend([leaving, len(leaving), MPI.BYTE], transfer.receiver, tag))

    def sends(self, found: Opened) -> int:
        """Post the next pieces of a transfer, no larger together than one may be; returns how many
        blocks they have.

        Raises:
            MPI.Exception: MPI refuses the first of them. It refuses a later one again in the next
                call.
        """
        requests, view, transfer = found.requests, self._memory.view, found.transfer
        isend, peer = self._lanes.of(transfer).Isend, transfer.receiver
        tag, began, blocks = transfer.tag % self._tags, len(requests), 0
        try:
            for source, _, count in found.cut[began : began + self._most_blocks]:
                if blocks and blocks + count > self._most_blocks:
                    break
                leaving = view(source, count)
                requests.append(isend([leaving, len(leaving), MPI.BYTE], peer, tag))
                blocks += count
        except MPI.Exception:
            if not blocks:
                raise
        return blocks


class Sends:
    """What one rank has to send, within bounds.

    Args:
        poster: posts the messages.
        heads: gets to know each transfer of which something is posted.
        limits: the bounds.
        block_bytes: the size of a block.
    """

    def __init__(self, poster: Poster, heads: Heads, limits: PostLimits, block_bytes: int) -> None:
        self._poster, self._heads, self._block_bytes = poster, heads, block_bytes
        self.posting: Posting[Opened] = Posting(self._post_pieces, limits)
        self._refused: list[tuple[MPI.Exception, Opened]] = []

    def begin(self, found: Opened) -> None:
        """Post what the budget allows."""
        if found.wanted > 1 or not self._post_whole(found):
            self.posting.add(found)

    def take_refused(self) -> list[tuple[MPI.Exception, Opened]]:
        """The errors of posts that MPI refused since the last call, with their transfers."""
        if not self._refused:
            return self._refused
        refused, self._refused = self._refused, []
        return refused

    def _post_whole(self, found: Opened) -> bool:
        """Post the only piece of a transfer at once, if nothing is before it and the bounds allow;
        returns whether it is handled."""
        peer, size = found.transfer.receiver, found.cut[0][2] * self._block_bytes
        if not self.posting.charge(peer, size):
            return False
        try:
            self._poster.send(found)
        except MPI.Exception as error:
            self.posting.give_back(peer, size)
            self._refused.append((error, found))
        else:
            self._heads.watch(found)
        return True

    def _post_pieces(self, found: Opened) -> Posted | None:
        """Post the next pieces of a transfer; None if MPI refuses them."""
        try:
            blocks = self._poster.sends(found)
        except MPI.Exception as error:
            self._refused.append((error, found))
            return None
        self._heads.watch(found)
        return Posted(blocks * self._block_bytes)
