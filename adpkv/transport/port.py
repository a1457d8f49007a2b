"""The transport port: what moves KV bytes, and what it can prove about their end.

The receiver advertises, the sender writes, each side polls. A transport reports ends; the core
decides what they mean. Nothing here waits.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from typing import Protocol

import msgspec

from adpkv.core.ids import SessionId

__all__ = ["EndKind", "Proof", "Transfer", "Transport", "TransportEnd"]


class Proof(StrEnum):
    """What can prove that nobody will touch the blocks again (contract 2.5)."""

    BACKEND_DONE = "the back end's own DONE"
    NOTHING_POSTED = "the sender's message that nothing was ever posted"
    CONNECTION_FENCED = "the connection torn down and fenced"
    PEER_FAILED = "the peer failed and its connection reported closed"
    RECEIVE_ENDED = "the receiver's own receive completed, or successfully cancelled"


class EndKind(StrEnum):
    """How this side's part of a transfer ended, or that it stands in doubt."""

    DONE = "done"
    """Every byte landed (receiver) or was read (sender); the blocks are quiescent."""
    FAILED = "failed"
    """Proven ended without success: the blocks are quiescent, their content is worthless."""
    ERROR = "error"
    """An error without proof: somebody may still touch the blocks. DONE or FAILED may follow."""
    LOST = "lost"
    """The connection to the peer is gone: in doubt until it is fenced. DONE or FAILED follows."""


class Transfer(msgspec.Struct, frozen=True, gc=False):
    """One session's bytes. `source` and `target` are block ids of sender and receiver in prompt
    order, of equal length; `tag` is unique among the receiver's transfers, former ones included."""

    request_id: int
    attempt: int
    sender: int
    receiver: int
    tag: int
    source: tuple[int, ...]
    target: tuple[int, ...]
    nbytes: int

    @property
    def session(self) -> SessionId:
        """The session that this transfer belongs to."""
        return (self.request_id, self.attempt)  # type: ignore[return-value]


class TransportEnd(msgspec.Struct, frozen=True, gc=False):
    """What `poll` reports. `pieces` is how many pieces were posted (sender)."""

    session: SessionId
    kind: EndKind
    nbytes: int = 0
    pieces: int = 0
    detail: str = ""


class Transport(Protocol):
    """One rank's end of the transport. Each call returns at once."""

    @property
    def name(self) -> str:
        """What a person calls it."""
        ...

    @property
    def proofs(self) -> Collection[Proof]:
        """What it can prove an end by; nothing else counts."""
        ...

    @property
    def can_withdraw(self) -> bool:
        """Whether a transfer in flight can be asked to end: else cancel answers NOT_CANCELLABLE."""
        ...

    def expect(self, transfer: Transfer) -> bool:
        """Receiver, before it advertises: from now on somebody may write into `target`. False if
        the transport refuses to register the blocks, or the sender has failed: then nobody may be
        told of them, and nothing more is heard of the transfer."""
        ...

    def has_failed(self, rank: int) -> bool:
        """Is this peer known to have failed? Then nothing is expected of it."""
        ...

    def post(self, transfer: Transfer) -> None:
        """Sender: begin to write. Bounded work; the rest happens in `poll`."""
        ...

    def withdraw(self, session: SessionId) -> None:
        """Either side: end it early if that can be proven. The end arrives through `poll`, as DONE
        if it was too late; an unknown session is ignored."""
        ...

    def peer_ended(self, session: SessionId, pieces: int) -> None:
        """Receiver: the sender said that it posts no more than `pieces` pieces (0: it never
        began). Whether that is a proof is the transport's affair; an end arrives through `poll`."""
        ...

    def poll(self) -> list[TransportEnd]:
        """What ended since the last call. Costs O(finished + open posts), never waits."""
        ...

    def ready(self) -> bool:
        """Make progress without waiting: would `poll` report something now?"""
        ...

    def last_moved_ns(self) -> int:
        """When, on this rank's clock, this rank's link last moved a byte; 0 before the first."""
        ...

    def close(self) -> None:
        """Give everything back. Nothing may be in flight, unless its bound is over."""
        ...
