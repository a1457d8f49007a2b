"""How much the UCX transport may post, so that it holds up no iteration for long.

Two things take time: to post a message (6 to 30 µs), and, where no network card moves the bytes, to
copy them. A message that is sent at once is copied as it is posted, as far as the sockets have room
for it; the rest is on its way, and one step of UCX's progress sends all that is on its way if the
peers are fast: with 64 MiB a step took 56 ms. So its limit is for all peers together. What is on
its way to one that has taken nothing for a while does not count, as no step sends it: it must not
hold up the others.
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

STALLED_NS: Final = 10_000_000
"""A peer that has taken nothing for so long is stopped, or in a long step."""

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
        self._on_host = on_host
        self.post_ns = COPY_NS if at_once else POST_NS
        """For how long messages may be posted between two polls."""
        self.spent_ns = 0
        """For how long they were since the last poll."""
        self.most_bytes = NO_LIMIT
        """How much of what is sent may be on its way."""
        if on_host and copies:
            self.most_bytes = AT_ONCE_BYTES if at_once else COPIED_BYTES
        self.open_bytes = 0
        """How much is, to peers that take it."""
        self._open: dict[int, int] = {}
        """How much is on its way to each peer."""
        self._moved_ns: dict[int, int] = {}
        """When each of them has taken something, or had nothing before."""
        self._stalled: set[int] = set()
        """Those of them that do not count."""

    def piece_bytes(self, configured: int) -> int:
        """The size limit of a piece."""
        return min(configured, HOST_PIECE_BYTES) if self._on_host else configured

    def left_bytes(self, peer: int, now_ns: int) -> int:
        """How much more may be on its way, of what is to this peer. Nothing if it has stalled."""
        if self.open_bytes >= self.most_bytes:
            self._set_aside(now_ns)
        return 0 if peer in self._stalled else self.most_bytes - self.open_bytes

    def began(self, peer: int, nbytes: int, now_ns: int) -> None:
        """So many bytes to this peer are on their way."""
        if peer not in self._open:
            self._open[peer], self._moved_ns[peer] = 0, now_ns
        self._open[peer] += nbytes
        self.open_bytes += nbytes

    def ended(self, peer: int, nbytes: int, now_ns: int) -> None:
        """So many bytes to this peer are not on their way any more."""
        if peer in self._stalled:
            self._stalled.remove(peer)
            self.open_bytes += self._open[peer]
        self._moved_ns[peer] = now_ns
        self._open[peer] -= nbytes
        self.open_bytes -= nbytes
        if not self._open[peer]:
            del self._open[peer], self._moved_ns[peer]

    def _set_aside(self, now_ns: int) -> None:
        for peer, moved_ns in self._moved_ns.items():
            if peer not in self._stalled and now_ns - moved_ns > STALLED_NS:
                self._stalled.add(peer)
                self.open_bytes -= self._open[peer]
