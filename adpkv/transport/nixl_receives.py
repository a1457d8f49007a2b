"""The receiving side of the NIXL transport: what is open for peers to write into, and what proves
that they write no more.

The library tells a receiver nothing but the notices that its senders attach to their pieces.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final, NamedTuple

from adpkv.core.ids import SessionId
from adpkv.errors import AdpkvError
from adpkv.transport.port import EndKind, Transfer, TransportEnd

__all__ = ["Receives"]

LINGER_NS: Final = 1_000_000_000
LINGER_POLLS: Final = 64
"""For how long, and in how many polls, a receiver reads what a failed sender has left on its way.
Of a writer killed over TCP, 2 to 5 MiB landed afterwards: what was in the receiver's own sockets.
All of it landed in the first poll."""


class _Lingering(NamedTuple):
    """A transfer from a failed rank: no byte of it can land after this time and these polls."""

    until_ns: int
    until_poll: int
    transfer: Transfer


class Receives:
    """The transfers that this rank receives.

    Args:
        block_bytes: the size of a block.
        clock: this rank's clock, in nanoseconds.
        report: called with each end.
    """

    def __init__(
        self,
        block_bytes: int,
        clock: Callable[[], int],
        report: Callable[[TransportEnd], None],
    ) -> None:
        self._block_bytes, self._clock, self._report = block_bytes, clock, report
        self.open: dict[SessionId, Transfer] = {}
        self._by_tag: dict[int, Transfer] = {}
        self.lingering: list[_Lingering] = []
        self._polls = 0

    def expect(self, transfer: Transfer) -> None:
        """Its sender may write from now on."""
        if transfer.session in self.open:
            raise AdpkvError(f"session {transfer.session} is already open in transport nixl")
        self.open[transfer.session] = self._by_tag[transfer.tag] = transfer
        if not transfer.target:
            self._end(transfer, EndKind.DONE)

    def notice(self, tag: int, ended: bool) -> None:
        """A sender's notice: something of the transfer with this tag has landed; all of it, if it
        has `ended`. One of a transfer that is over is late, and says nothing new."""
        found = self._by_tag.get(tag)
        if found is not None and ended:
            self._end(found, EndKind.DONE)

    def peer_ended(self, session: SessionId, blocks: int) -> None:
        """The sender has ended with so many blocks, and each of its writes was DONE."""
        found = self.open.get(session)
        if found is not None:
            whole = 0 < len(found.target) <= blocks
            self._end(found, EndKind.DONE if whole else EndKind.FAILED)

    def handle_peer_failure(self, failed: Collection[int]) -> None:
        """All living ranks know that these have failed. Transfers from them are LOST, and end in
        `poll`."""
        until_ns, until_poll = self._clock() + LINGER_NS, self._polls + LINGER_POLLS
        for found in self.open.values():
            if found.sender in failed:
                self._report(TransportEnd(found.session, EndKind.LOST))
                self.lingering.append(_Lingering(until_ns, until_poll, found))

    def poll(self) -> None:
        """After each progress of the library: end the receives from failed ranks into which no byte
        can come any more.

        The process has ended, and its kernel has closed its connections. Within a host that ends
        its writes, and so does a network that writes by itself: it refuses what comes for a closed
        connection. Over TCP, bytes that were sent before may still be on their way or in the
        sockets of this process, and they land when this process reads them, which is when it polls.
        An error of an own connection to the failed rank proves nothing: it was seen 2 to 4 MiB
        before the last byte. So the blocks are kept until this process has polled long enough.
        """
        self._polls += 1
        if not self.lingering:
            return
        now_ns = self._clock()
        left: list[_Lingering] = []
        for one in self.lingering:
            if self.open.get(one.transfer.session) is not one.transfer:
                continue  # its last notice was among what was left
            if now_ns < one.until_ns or self._polls < one.until_poll:
                left.append(one)
            else:
                self._end(one.transfer, EndKind.FAILED)
        self.lingering = left

    def close(self) -> None:
        """Forget all: no end is reported any more."""
        self.open.clear()
        self._by_tag.clear()
        self.lingering.clear()

    def _end(self, transfer: Transfer, kind: EndKind) -> None:
        del self.open[transfer.session]
        del self._by_tag[transfer.tag]
        nbytes = len(transfer.target) * self._block_bytes if kind is EndKind.DONE else 0
        self._report(TransportEnd(transfer.session, kind, nbytes))
