"""What a sender remembers of sessions that are over: whether anything was ever posted for them.

A late or repeated advertise for one that never was is answered `never started`, which is a proof;
for one that was, that would be a false one, so the number of its pieces is kept. What is forgotten
counts as never posted: nothing of it is posted any more.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from adpkv.core.ids import RequestId, SessionId
from adpkv.core.session import Session

__all__ = ["NEVER_POSTED", "TOMBSTONES", "Tombstones"]

TOMBSTONES: Final = 4096
"""How many ended sessions a sender remembers."""

NEVER_POSTED: Final = -1
"""Instead of a number of pieces."""


class Tombstones:
    """The last sessions of one sender that have ended. Each life of a request has its own: while
    the next one ends, the receiver of the former may still be asking."""

    __slots__ = ("_pieces",)

    def __init__(self) -> None:
        self._pieces: OrderedDict[SessionId, int] = OrderedDict()
        """Pieces posted."""

    def add(self, session: Session) -> None:
        """It is over."""
        pieces = session.pieces if session.started_ns >= 0 else NEVER_POSTED
        self._pieces[session.session_id] = pieces
        if len(self._pieces) > TOMBSTONES:
            self._pieces.popitem(last=False)

    def pieces(self, request_id: int, attempt: int) -> int:
        """How many pieces were posted for this attempt of the request; `NEVER_POSTED` if none was,
        or if it is forgotten."""
        return self._pieces.get((RequestId(request_id), attempt), NEVER_POSTED)
