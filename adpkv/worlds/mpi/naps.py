"""Polite polling: a blocking call would spin a core under Open MPI."""

from __future__ import annotations

import time
from typing import Final

__all__ = ["LONGEST_NAP_NS", "Nap"]

LONGEST_NAP_NS: Final = 1_000_000
SHORTEST_NAP_NS: Final = 50_000


class Nap:
    """Polite polling: each nap twice as long as the one before, up to the longest."""

    __slots__ = ("_next_ns",)

    def __init__(self) -> None:
        self._next_ns = SHORTEST_NAP_NS

    def take(self, most_ns: int = LONGEST_NAP_NS) -> None:
        """Sleep a little, at most `most_ns`."""
        time.sleep(max(0, min(self._next_ns, most_ns)) / 1e9)
        self._next_ns = min(2 * self._next_ns, LONGEST_NAP_NS)
