"""What a sender remembers of sessions that are over: whether anything was ever posted for them.

A late or repeated advertise for one that never was is answered `never started`, which is a proof;
for one that was, that would be a false one, so the number of its pieces is kept. What is forgotten
counts as never posted: nothing of it is posted any more.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from adpkv.core.session import Session

__all__ = ["NEVER_POSTED", "TOMBSTONES", "Tombstones"]

TOMBSTONES: Final = 4096
"""How many ended sessions a sender remembers."""

NEVER_POSTED: Final = -1
"""Instead of a number of pieces."""


class Tombstones:
    """The last sessions of one sender that have ended, by request."""

    __slots__ = ("_pieces",)

    def __init__(self) -> None:
        self._pieces: OrderedDict[int, tuple[int, int]] = OrderedDict()
        """Generation, and pieces posted."""

    def bury(self, session: Session) -> None:
        """It is over."""
        request_id, generation = session.session_id
        pieces = session.pieces if session.started_ns >= 0 else NEVER_POSTED
        self._pieces[request_id] = (generation, pieces)
        if len(self._pieces) > TOMBSTONES:
            self._pieces.popitem(last=False)

    def pieces(self, request_id: int, generation: int) -> int | None:
        """How many pieces were posted for this life of the request, maybe `NEVER_POSTED`; None if
        there is no tombstone of it."""
        former, pieces = self._pieces.get(request_id, (-1, NEVER_POSTED))
        return pieces if former == generation else None
