"""The policy of who takes the release of a transfer's handle for its end."""

from __future__ import annotations

from typing import Final

from adpkv.core.ids import SessionId
from adpkv.field_policies.policy import NeverQuiet, Policy
from adpkv.transport.port import EndKind, Transfer, Transport, TransportEnd

__all__ = ["RELEASE_TRUSTED", "TrustsRelease"]


class TrustsRelease:
    """A transport whose sends are over when they are withdrawn; `transport.port.Transport`.

    What the field calls a transfer is one handle, posted whole. Its release is accepted at once and
    stops nothing. So the transport goes on here, and only what it reports later is dropped."""

    def __init__(self, inner: Transport) -> None:
        self.name, self.proofs, self.can_withdraw = inner.name, inner.proofs, inner.can_withdraw
        self._inner = inner
        self.expect, self.has_failed = inner.expect, inner.has_failed
        self.peer_ended, self.last_moved_ns = inner.peer_ended, inner.last_moved_ns
        self.close = inner.close
        self._posted: set[SessionId] = set()
        self._released: set[SessionId] = set()
        self._told: list[TransportEnd] = []

    def post(self, transfer: Transfer) -> None:
        """Passed on."""
        self._posted.add(transfer.session)
        self._inner.post(transfer)

    def withdraw(self, session: SessionId) -> None:
        """The handle is released, so the transfer is over."""
        if session not in self._posted:
            self._inner.withdraw(session)
            return
        self._posted.discard(session)
        self._released.add(session)
        # Its first piece was posted; the receiver asks no further.
        self._told.append(TransportEnd(session, EndKind.FAILED, 0, 1, "its handle was released"))

    def poll(self) -> list[TransportEnd]:
        """What was released, and what has ended of the rest."""
        told, self._told = self._told, []
        for end in self._inner.poll():
            if end.session in self._released:
                if end.kind in (EndKind.DONE, EndKind.FAILED):
                    self._released.discard(end.session)
                continue
            self._posted.discard(end.session)
            told.append(end)
        return told

    def ready(self) -> bool:
        """Whether `poll` would report an end."""
        return bool(self._told) or self._inner.ready()


RELEASE_TRUSTED: Final = Policy(
    "A write whose handle was released is over, and its receiver frees the blocks; the bytes land"
    " all the same (ai-dynamo/nixl #2044).",
    phases=NeverQuiet,
    transport=TrustsRelease,
)
