"""A transport whose posts and ends hold up the iteration in which they happen, as measured."""

from __future__ import annotations

from collections.abc import Callable, Collection
from fractions import Fraction
from math import ceil
from typing import Final

from adpkv.config.calibration import TransferCalibration
from adpkv.transport.port import EndKind, Proof, Transfer, Transport, TransportEnd

__all__ = ["HoldingUp", "for_bytes"]

KIB: Final = 1024


class HoldingUp:
    """Passes every call on. It is what the rank's program calls, so it is only called within an
    iteration; `hold_up(ns)` makes that iteration longer.

    Only a receiver's ends count: it has to check what came.
    """

    def __init__(
        self,
        inner: Transport,
        costs: TransferCalibration,
        hold_up: Callable[[int], None],
        *,
        receives: bool,
    ) -> None:
        self.name = inner.name
        self.proofs: Collection[Proof] = inner.proofs
        self.can_withdraw = inner.can_withdraw
        self._inner, self._costs, self._hold_up = inner, costs, hold_up
        self._receives = receives
        self.expect, self.has_failed = inner.expect, inner.has_failed
        self.withdraw, self.peer_ended = inner.withdraw, inner.peer_ended
        self.ready, self.last_moved_ns, self.close = inner.ready, inner.last_moved_ns, inner.close

    def post(self, transfer: Transfer) -> None:
        """Passed on; it takes its time."""
        self._inner.post(transfer)
        costs = self._costs
        self._hold_up(costs.post_ns + for_bytes(costs.post_kib_ns, transfer.nbytes))

    def poll(self) -> list[TransportEnd]:
        """Passed on; what came is checked."""
        ends = self._inner.poll()
        if ends and self._receives:
            costs = self._costs
            done = [end for end in ends if end.kind is EndKind.DONE]
            nbytes = sum(end.nbytes for end in done)
            self._hold_up(len(done) * costs.notice_ns + for_bytes(costs.notice_kib_ns, nbytes))
        return ends


def for_bytes(kib_ns: Fraction, nbytes: int) -> int:
    """What so many bytes take, in nanoseconds."""
    return ceil(kib_ns * nbytes / KIB) if kib_ns else 0
