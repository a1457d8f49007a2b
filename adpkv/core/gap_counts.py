"""What a rank reports of the gaps between its tokens (`core.token_gaps`)."""

from __future__ import annotations

import msgspec

__all__ = ["GapCounts"]


class GapCounts(msgspec.Struct, frozen=True, array_like=True):
    """A frozen snapshot. `buckets`: (smallest gap of the bucket in ns, gaps in it), in order."""

    buckets: tuple[tuple[int, int], ...] = ()
    total_ns: int = 0
    longest_ns: int = 0

    @property
    def count(self) -> int:
        """How many gaps there are."""
        return sum(count for _, count in self.buckets)
