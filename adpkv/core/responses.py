"""The responses of a rank that wait for the next flush.

A rank never sends a response by itself: it stages it here, and the one `tp_gather` per iteration
takes it to the leader. Every rank joins that gather, if need be with an empty list (contract 5.3).
"""

from __future__ import annotations

from adpkv.core.values import Response

__all__ = ["ResponseBuffer"]

_NOTHING: tuple[Response, ...] = ()


class ResponseBuffer:
    """One rank's staged responses, in the order in which they were staged."""

    __slots__ = ("kept",)

    def __init__(self) -> None:
        self.kept: list[Response] = []
        """Those that wait. Read only."""

    def __len__(self) -> int:
        return len(self.kept)

    @property
    def staged(self) -> tuple[Response, ...]:
        """All staged responses; they stay staged."""
        return tuple(self.kept)

    def stage(self, response: Response) -> None:
        """Keep a response for the next flush."""
        self.kept.append(response)

    def take(self) -> tuple[Response, ...]:
        """Remove and return all staged responses."""
        if not self.kept:
            return _NOTHING
        staged, self.kept = tuple(self.kept), []
        return staged
