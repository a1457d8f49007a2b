"""Wraps a rank's transport and records its posts, and the polls that found something."""

from __future__ import annotations

from collections.abc import Collection
from time import perf_counter_ns

from adpkv.flight_recorder.format import What
from adpkv.flight_recorder.writer import FlightRecorder
from adpkv.transport.port import Proof, Transfer, Transport, TransportEnd

__all__ = ["RecordedTransport"]


class RecordedTransport:
    """Passes every call on. It is the outermost wrapper: it records what the executor asked for and
    what it was told, injected faults included."""

    def __init__(self, inner: Transport, recorder: FlightRecorder) -> None:
        self.name = inner.name
        self.proofs: Collection[Proof] = inner.proofs
        self.can_withdraw = inner.can_withdraw
        self._inner, self._recorder = inner, recorder
        self._poll = inner.poll
        self.withdraw, self.peer_ended = inner.withdraw, inner.peer_ended
        self.ready, self.last_moved_ns, self.close = inner.ready, inner.last_moved_ns, inner.close

    def expect(self, transfer: Transfer) -> bool:
        """Passed on, and recorded."""
        began_ns = perf_counter_ns()
        accepted = self._inner.expect(transfer)
        self._recorder.transferred(
            What.EXPECT, self.name, transfer.sender, transfer.request_id, transfer.nbytes,
            began_ns, perf_counter_ns(),
        )  # fmt: skip
        return accepted

    def has_failed(self, rank: int) -> bool:
        """Passed on."""
        return self._inner.has_failed(rank)

    def post(self, transfer: Transfer) -> None:
        """Passed on, and recorded."""
        began_ns = perf_counter_ns()
        self._inner.post(transfer)
        self._recorder.transferred(
            What.POST, self.name, transfer.receiver, transfer.request_id, transfer.nbytes,
            began_ns, perf_counter_ns(),
        )  # fmt: skip

    def poll(self) -> list[TransportEnd]:
        """Passed on. An empty poll is only counted and reads no clock. So a poll's record has no
        duration: it begins and ends when the poll is over."""
        ends = self._poll()
        if ends:
            now_ns = perf_counter_ns()
            moved = sum(end.nbytes for end in ends)
            self._recorder.polled(self.name, len(ends), moved, now_ns, now_ns)
        else:
            self._recorder.polled_nothing()
        return ends
