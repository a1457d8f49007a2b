"""How much the UCX transport may post, so that it holds up no iteration for long.

Two things take time: to post a message (6 to 30 µs), and, where no network card moves the bytes, to
copy them. UCX copies in its progress, and one step of it sends everything that is on its way if the
peers are fast: with 64 MiB a step took 56 ms.
"""

from __future__ import annotations

from typing import Final

__all__ = ["HoldUp"]

HOST_PIECE_BYTES: Final = 512 << 10
"""The size limit of a piece in host memory. Both ends must have the same."""

COPIED_BYTES: Final = 2 << 20
"""Where UCX copies: how much of what is sent may be on its way, to all peers together."""

POST_NS: Final = 100_000
"""The time limit of posting between two polls."""


class HoldUp:
    """What was posted since the last poll, and what is on its way.

    Args:
        on_host: whether the memory is the host's.
        copies: whether UCX copies the bytes of host memory in its progress.
    """

    def __init__(self, *, on_host: bool, copies: bool) -> None:
        self._on_host, self._counts = on_host, on_host and copies
        self._open_bytes = self._spent_ns = 0

    def piece_bytes(self, configured: int) -> int:
        """The size limit of a piece."""
        return min(configured, HOST_PIECE_BYTES) if self._on_host else configured

    def renew(self) -> None:
        """A poll: time may be spent again."""
        self._spent_ns = 0

    def is_reached(self, *, sends: bool) -> bool:
        """Whether no further message may be posted now."""
        if self._spent_ns >= POST_NS:
            return True
        return sends and self._counts and self._open_bytes >= COPIED_BYTES

    def posted(self, sent_bytes: int, took_ns: int) -> None:
        """A message was posted; `sent_bytes` is 0 for a receive."""
        self._open_bytes += sent_bytes
        self._spent_ns += took_ns

    def ended(self, sent_bytes: int) -> None:
        """So many sent bytes are not on their way any more."""
        self._open_bytes -= sent_bytes
