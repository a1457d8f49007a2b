"""Polling with backoff, because a blocking call would spin on a core under Open MPI."""

from __future__ import annotations

import time
from typing import Final

__all__ = ["MAX_BACKOFF_NS", "Backoff"]

MAX_BACKOFF_NS: Final = 1_000_000
MIN_BACKOFF_NS: Final = 50_000


class Backoff:
    """Sleeps between two polls: each sleep is twice as long as the one before, up to
    MAX_BACKOFF_NS."""

    __slots__ = ("_next_ns",)

    def __init__(self) -> None:
        self._next_ns = MIN_BACKOFF_NS

    def sleep(self, most_ns: int = MAX_BACKOFF_NS) -> None:
        """Sleep for the next interval, at most `most_ns` nanoseconds."""
        time.sleep(max(0, min(self._next_ns, most_ns)) / 1e9)
        self._next_ns = min(2 * self._next_ns, MAX_BACKOFF_NS)
