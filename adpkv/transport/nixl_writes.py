"""Posts the pieces of transfers over NIXL, follows them to their ends, and tells the receivers."""

from __future__ import annotations

import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from adpkv.core.ids import SessionId
from adpkv.transport.nixl_agent import Agent, Handle
from adpkv.transport.nixl_opened import Piece, Send
from adpkv.transport.nixl_pace import Pace
from adpkv.transport.posting import Posted, Posting, PostLimits

__all__ = ["NOTICE", "NOTICE_EVERY", "Writes"]

NOTICE: Final = struct.Struct("<Q?")
"""A notice: the transfer's tag, and whether all of it has landed."""

NOTICE_EVERY: Final = 16
"""After so many pieces the receiver gets a notice that something has moved, for its health."""


class Writes:
    """The writes of one rank.

    Args:
        block_bytes: the size of a block.
        piece_bytes: the size limit of one piece.
        limits: how much may be posted.
        pace: how many descriptors, by the time that they take.
        clock: this rank's clock, in nanoseconds.
        lose: called with a transfer whose connection is lost, and why.
        moved: called with a transfer of which a piece has ended in its post, or all that were open.
    """

    def __init__(
        self,
        agent: Agent,
        block_bytes: int,
        piece_bytes: int,
        limits: PostLimits,
        pace: Pace,
        clock: Callable[[], int],
        lose: Callable[[Send, str], None],
        moved: Callable[[Send], object],
    ) -> None:
        self._agent, self._block_bytes, self._clock = agent, block_bytes, clock
        self._lost: tuple[type[Exception], ...] = (*agent.errors, ConnectionError)
        self._most_blocks = max(1, piece_bytes // block_bytes)
        self._pace, self._lose, self._moved = pace, lose, moved
        self._posting: Posting[Send] = Posting(self._post_next, limits)
        self.moving: dict[SessionId, Send] = {}
        """The transfers with pieces that have not ended."""
        self.moved_ns = 0
        """When a piece last ended."""
        self.left: list[Handle] = []
        """Handles of transfers that are over for this rank, and that have not ended yet."""

    def begin(self, sent: Send) -> None:
        """Post within the rest of the budget; the rest in later polls."""
        if not self._post_whole(sent):
            self._posting.add(sent)

    def renew(self) -> None:
        """A poll begins. What it does before it posts counts, if it posts anything."""
        self._pace.renew()
        if self._posting:
            self._pace.enter()

    def queue(self, sent: Send) -> None:
        """The same, but begin at the next poll."""
        self._posting.queue(sent)

    def look(self) -> None:
        """Ask for the states of all pieces that were posted."""
        for sent in list(self.moving.values()):
            self._look_at(sent)
        if self.left:
            self.all_ended()

    def poll(self) -> None:
        """A new budget: post what it allows."""
        if self._posting:
            self._posting.poll()
            self._pace.leave()
        else:
            self._posting.renew()

    def stop(self, sent: Send) -> None:
        """Post no further piece of it."""
        sent.stop()
        self._posting.remove(sent)

    def give_up(self, sent: Send) -> None:
        """It is over, whatever its pieces do: they are only followed to their ends."""
        self.left += [handle for handle, _ in sent.handles]
        self._account(sent, sum(count for _, count in sent.handles))
        sent.handles.clear()
        self.moving.pop(sent.session, None)

    def close(self) -> None:
        """Post nothing more, and only follow what was posted."""
        self._posting.clear()
        for sent in list(self.moving.values()):
            self.give_up(sent)

    # -- posting ---------------------------------------------------------------------------------

    def _post_whole(self, sent: Send) -> bool:
        """Post a transfer of one piece at once, if nothing is before it and the bounds allow;
        returns whether it is handled."""
        rest = sent.rest()
        if self._pace.room(rest) < rest or sent.wanted > self._most_blocks:
            return False
        piece = Piece(0, sent.wanted, rest)
        peer, size = sent.transfer.receiver, sent.wanted * self._block_bytes
        if not self._posting.charge(peer, size, rest):
            return False
        posted = self._post(sent, piece)
        if not posted.nbytes:
            self._posting.give_back(peer, size, piece.descriptors)
        elif posted.ended:
            self._posting.ended(peer, size)
        return True

    def _post_next(self, sent: Send) -> Posted | None:
        """Post the next piece, if there is room for it now."""
        most = min(self._pace.room(sent.rest()), self._posting.left_descriptors)
        return self._post(sent, sent.next(self._most_blocks, most)) if most > 0 else None

    def _post(self, sent: Send, piece: Piece) -> Posted:
        """Post a piece. If the connection is lost, the transfer has been stopped."""
        ends, notice = sent.ends_with(piece), b""
        if ends or sent.pieces % NOTICE_EVERY == NOTICE_EVERY - 1:
            notice = NOTICE.pack(sent.transfer.tag, ends)
        count = piece.end - piece.first
        run = sent.run(piece) if ends else None
        try:
            if run is not None:
                handle = self._agent.prepare_run(sent.peer(), *run, count)
            else:
                handle = self._agent.prepare(sent.peer(), *sent.blocks(piece), notice)
        except self._lost as error:
            self._lose(sent, str(error))
            return Posted(0, ended=True)
        sent.pieces += 1
        sent.posted, sent.is_told = piece.end, ends
        try:
            done = self._agent.post(handle, notice if run is not None else b"")
        except self._lost as error:
            # Some of it may be on its way: it is asked for its state until it has ended.
            self._lose(sent, str(error))
            done = False
        self._pace.posted(piece.descriptors)
        if done:
            self._finished(sent, handle, count)
            self._moved(sent)
        else:
            sent.handles.append((handle, count))
            self.moving[sent.session] = sent
        return Posted(count * self._block_bytes, piece.descriptors, ended=done)

    # -- what was posted -------------------------------------------------------------------------

    def _look_at(self, sent: Send) -> None:
        """Ask for the states of its pieces, the oldest first, until one has not ended."""
        handles, ended = sent.handles, 0
        for handle, count in handles:
            try:
                if not self._agent.is_done(handle):
                    break
            except self._lost as error:
                self._lose(sent, str(error))
                self._agent.release(handle)
            else:
                self._finished(sent, handle, count)
            self._account(sent, count)
            ended += 1
        del handles[:ended]
        if not handles:
            del self.moving[sent.session]
            self._moved(sent)

    def tell(self, sent: Send) -> None:
        """All of it has landed: give the receiver notice, if it has none."""
        if sent.is_told:
            return
        sent.is_told = True
        # It is over all the same. A receiver that was not told asks when its deadline has passed,
        # and is answered with the number of blocks (`peer_ended`).
        with suppress(*self._lost):
            self._agent.notify(sent.peer(), NOTICE.pack(sent.transfer.tag, True))

    def all_ended(self) -> bool:
        """Whether the pieces of all transfers that were given up have ended."""
        left: list[Handle] = []
        for handle in self.left:
            try:
                if not self._agent.is_done(handle):
                    left.append(handle)
                    continue
            except self._lost:
                pass
            self._agent.release(handle)
        self.left = left
        return not left

    def _finished(self, sent: Send, handle: Handle, count: int) -> None:
        sent.moved += count
        self.moved_ns = self._clock()
        self._agent.finish(handle)

    def _account(self, sent: Send, blocks: int) -> None:
        self._posting.ended(sent.peer(), blocks * self._block_bytes)
