"""What a sender remembers of sessions that are over: how many pieces were posted for each.

A late or repeated advertise for a session for which nothing was ever posted is answered
`NeverStarted`, which proves to the receiver that nothing was written. For a session with posted
pieces that proof would be false, so their number is remembered and sent. A session that is too old
to be remembered counts as never posted; nothing is posted for it any more.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from adpkv.core.session import Session

__all__ = ["NEVER_POSTED", "TOMBSTONES", "Tombstones"]

TOMBSTONES: Final = 4096
"""How many ended sessions a sender remembers."""

ATTEMPT_BITS: Final = 20
"""No request comes again a million times."""

NEVER_POSTED: Final = -1
"""In place of a number of pieces: nothing was posted."""


class Tombstones:
    """The last `TOMBSTONES` sessions of one sender that have ended.

    Each attempt of a request has its own entry: when the next attempt ends, the receiver of the
    former one may still send messages.
    """

    __slots__ = ("_order", "_pieces")

    def __init__(self) -> None:
        self._pieces: dict[int, int] = {}
        """How many pieces were posted, by `_key`."""
        self._order: deque[int] = deque()
        """The sessions in the order in which they ended, each once: a dict does not find its first
        entry in O(1) after many removals, and an OrderedDict takes twice as much memory."""

    def add(self, session: Session) -> None:
        """Remember a session that is over."""
        pieces = session.pieces if session.started_ns >= 0 else NEVER_POSTED
        key = _key(session.session_id[0], session.attempt)
        remembered = self._pieces
        before = len(remembered)
        remembered[key] = pieces
        if len(remembered) == before:
            self._order.remove(key)  # it ended once more: it is the youngest now
        self._order.append(key)
        if len(remembered) > TOMBSTONES:
            del remembered[self._order.popleft()]

    def pieces(self, request_id: int, attempt: int) -> int:
        """How many pieces were posted for this attempt of the request; `NEVER_POSTED` if none was,
        or if it is not remembered."""
        return self._pieces.get(_key(request_id, attempt), NEVER_POSTED)


def _key(request_id: int, attempt: int) -> int:
    """One number for both: a tuple takes three times as much."""
    assert 0 <= attempt < 1 << ATTEMPT_BITS, "it would be another request's"
    return (request_id << ATTEMPT_BITS) + attempt
