"""A transport whose posts and ends hold up the iteration in which they happen, as measured."""

from __future__ import annotations

from collections.abc import Callable, Collection

from adpkv.transport.port import EndKind, Proof, Transfer, Transport, TransportEnd
from adpkv.worlds.virtual.iteration_work import Work

__all__ = ["HoldingUp"]

HoldUp = Callable[[Work, int, int, int], None]
"""(work, times, blocks, bytes): this rank does it in the iteration that it is in."""


class HoldingUp:
    """Passes every call on. It is what the rank's program calls, so it is only called within an
    iteration; `hold_up` makes that iteration longer."""

    def __init__(
        self, inner: Transport, block_bytes: int, hold_up: HoldUp, *, posted: Work, ended: Work
    ) -> None:
        self.name = inner.name
        self.proofs: Collection[Proof] = inner.proofs
        self.can_withdraw = inner.can_withdraw
        self._inner, self._block_bytes, self._hold_up = inner, block_bytes, hold_up
        self._posted, self._ended = posted, ended
        self.expect, self.has_failed = inner.expect, inner.has_failed
        self.withdraw, self.peer_ended = inner.withdraw, inner.peer_ended
        self.ready, self.last_moved_ns, self.close = inner.ready, inner.last_moved_ns, inner.close

    def post(self, transfer: Transfer) -> None:
        """Passed on; it takes its time."""
        self._inner.post(transfer)
        self._work(self._posted, 1, transfer.nbytes)

    def poll(self) -> list[TransportEnd]:
        """Passed on; what came is checked."""
        ends = self._inner.poll()
        if ends:
            done = [end for end in ends if end.kind is EndKind.DONE]
            self._work(self._ended, len(done), sum(end.nbytes for end in done))
        return ends

    def _work(self, work: Work, times: int, nbytes: int) -> None:
        if times:
            self._hold_up(work, times, -(-nbytes // self._block_bytes), nbytes)
