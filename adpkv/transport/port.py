"""The transport port: moves KV bytes between ranks, and reports how transfers end.

The receiver advertises its blocks, the sender writes into them, and each side polls. A transport
reports the end of a transfer and whether it is proven that nothing touches the blocks any more; the
core decides what follows. No call waits.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import StrEnum
from typing import Protocol

import msgspec

from adpkv.core.ids import SessionId

__all__ = ["EndKind", "Proof", "Transfer", "Transport", "TransportEnd"]


class Proof(StrEnum):
    """The facts that can prove that no rank will touch the blocks again (contract 2.5)."""

    BACKEND_DONE = "the back end's own DONE"
    NOTHING_POSTED = "the sender's message that nothing was ever posted"
    CONNECTION_FENCED = "the connection torn down and fenced"
    PEER_FAILED = "the peer failed and its connection reported closed"
    RECEIVE_ENDED = "the receiver's own receive completed, or successfully cancelled"


class EndKind(StrEnum):
    """How this side's part of a transfer ended, or that its end is not proven yet.

    *Quiescent* blocks are proven not to be touched by a peer any more.
    """

    DONE = "done"
    """Every byte was written (receiver) or read (sender). The blocks are quiescent."""
    FAILED = "failed"
    """The transfer has ended without success. The blocks are quiescent; their content is not valid.
    """
    ERROR = "error"
    """An error without proof: a peer may still touch the blocks. DONE or FAILED may follow."""
    LOST = "lost"
    """The connection to the peer is lost. The blocks are not quiescent until it is fenced; then
    DONE or FAILED follows."""


class Transfer(msgspec.Struct, frozen=True, gc=False):
    """The bytes of one session.

    `sender` and `receiver` are world ranks. `source` and `target` are their block ids in prompt
    order, of equal length. `tag` is unique among all transfers that the receiver has ever opened.
    `nbytes` is the size of all blocks together.

    With staging each end knows its own blocks only, and `source_slot` and `target_slot` are the
    slots through which the bytes go (`transport.staged`).
    """

    request_id: int
    attempt: int
    sender: int
    receiver: int
    tag: int
    source: Sequence[int]
    target: Sequence[int]
    nbytes: int
    source_slot: int = -1
    target_slot: int = -1

    @property
    def session(self) -> SessionId:
        """The session that this transfer belongs to."""
        return (self.request_id, self.attempt)  # type: ignore[return-value]


class TransportEnd(msgspec.Struct, frozen=True, gc=False):
    """What `poll` reports. `nbytes`: how many bytes were transferred. `pieces`: how many pieces
    were posted (sender). `detail` is for people."""

    session: SessionId
    kind: EndKind
    nbytes: int = 0
    pieces: int = 0
    detail: str = ""


class Transport(Protocol):
    """One rank's end of the transport. Each call returns without waiting."""

    @property
    def name(self) -> str:
        """A short name for people, such as `mpi`."""
        ...

    @property
    def proofs(self) -> Collection[Proof]:
        """By which facts it proves an end. A DONE or FAILED based on anything else is wrong."""
        ...

    @property
    def can_withdraw(self) -> bool:
        """Whether `withdraw` can end a transfer in flight. If not, a cancel is answered with
        NOT_CANCELLABLE."""
        ...

    def expect(self, transfer: Transfer) -> bool:
        """Receiver, before it advertises: the sender may write into `target` from now on.

        Returns:
            False if the blocks cannot be registered or the sender has failed. Then the receiver
            does not advertise them, and `poll` reports nothing about this transfer.
        """
        ...

    def has_failed(self, rank: int) -> bool:
        """Whether this world rank is known to have failed."""
        ...

    def post(self, transfer: Transfer) -> None:
        """Sender: begin to write. The call does a limited amount of work; `poll` does the rest."""
        ...

    def withdraw(self, session: SessionId) -> None:
        """Either side: end a transfer early if its end can be proven. `poll` reports the end; DONE
        if all bytes were transferred already. An unknown session is ignored."""
        ...

    def peer_ended(self, session: SessionId, pieces: int) -> None:
        """Receiver: the sender's message came that it posts no more than `pieces` pieces (0: it
        never began). The transport decides whether that proves the end; if so, `poll` reports it.
        """
        ...

    def poll(self) -> list[TransportEnd]:
        """The ends since the last call. Costs O(ends + posts in progress); never waits."""
        ...

    def ready(self) -> bool:
        """Make progress without waiting; returns whether `poll` would report an end now."""
        ...

    def last_moved_ns(self) -> int:
        """When a byte to or from this rank was last moved: nanoseconds on this rank's clock; 0
        before the first."""
        ...

    def close(self) -> None:
        """Release all resources. No transfer is in flight, or the drain timeout is over."""
        ...
