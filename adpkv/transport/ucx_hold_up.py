"""How much the UCX transport may post, so that it holds up no iteration for long.

Two things take time: to post a message (6 to 30 µs), and, where no network card moves the bytes, to
copy them. A message that is sent at once is copied as it is posted, as far as the sockets have room
for it; the rest is on its way, and one step of UCX's progress sends all that is on its way if the
peers are fast: with 64 MiB a step took 56 ms.
"""

from __future__ import annotations

from typing import Final

from adpkv.transport.posting import NO_LIMIT

__all__ = ["HoldUp"]

HOST_PIECE_BYTES: Final = 512 << 10
"""The size limit of a piece in host memory. Both ends must have the same."""

COPIED_BYTES: Final = 2 << 20
"""Where UCX copies: how much of what is sent may be on its way, to all peers together."""

AT_ONCE_BYTES: Final = 1 << 20
"""The same where messages are sent at once: the sockets have as much again, so the link is busy."""

POST_NS: Final = 100_000
"""The time limit of posting between two polls."""

COPY_NS: Final = 400_000
"""The same where messages are sent at once, so that posting copies their bytes."""


class HoldUp:
    """What was posted since the last poll, and what is on its way.

    Args:
        on_host: whether the memory is the host's.
        copies: whether UCX copies the bytes of host memory.
        at_once: whether it copies them as they are posted.
    """

    def __init__(self, *, on_host: bool, copies: bool, at_once: bool = False) -> None:
        self._on_host, self._counts, self._at_once = on_host, on_host and copies, at_once
        self._open_bytes = self._spent_ns = 0

    def piece_bytes(self, configured: int) -> int:
        """The size limit of a piece."""
        return min(configured, HOST_PIECE_BYTES) if self._on_host else configured

    def renew(self) -> None:
        """A poll: time may be spent again."""
        self._spent_ns = 0

    def left_ns(self) -> int:
        """For how long messages may still be posted; none if it is not above zero."""
        return (COPY_NS if self._at_once else POST_NS) - self._spent_ns

    def left_bytes(self) -> int:
        """How much more may be on its way; none if it is not above zero."""
        if not self._counts:
            return NO_LIMIT
        return (AT_ONCE_BYTES if self._at_once else COPIED_BYTES) - self._open_bytes

    def posted(self, sent_bytes: int, took_ns: int) -> None:
        """Messages were posted; `sent_bytes` is 0 for receives."""
        self._open_bytes += sent_bytes
        self._spent_ns += took_ns

    def ended(self, sent_bytes: int) -> None:
        """So many sent bytes are not on their way any more."""
        self._open_bytes -= sent_bytes
