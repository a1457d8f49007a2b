"""Responses that finished or failed requests left behind, until the next flush takes them along.

A rank never answers alone: what it has to say is staged here, and leaves through the one
`tp_gather` per iteration that every rank joins, with an empty list if need be (contract 5.3).
"""

from __future__ import annotations

from adpkv.core.values import Response

__all__ = ["ResponseBuffer"]

_NOTHING: tuple[Response, ...] = ()


class ResponseBuffer:
    """One rank's staged responses, in the order in which they were staged."""

    __slots__ = ("_staged",)

    def __init__(self) -> None:
        self._staged: list[Response] = []

    def __len__(self) -> int:
        return len(self._staged)

    @property
    def staged(self) -> tuple[Response, ...]:
        """All that is staged; it stays."""
        return tuple(self._staged)

    def stage(self, response: Response) -> None:
        """Keep a response for the next flush."""
        self._staged.append(response)

    def take(self) -> tuple[Response, ...]:
        """All that is staged; the buffer is empty afterwards."""
        if not self._staged:
            return _NOTHING
        staged, self._staged = tuple(self._staged), []
        return staged
