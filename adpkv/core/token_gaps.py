"""The gaps between tokens (inter-token latency): all of them, counted in buckets.

Millions of gaps are kept as a few hundred counts. A bucket is as wide as 0.1 % of what it holds
(HdrHistogram's idea: the leading bits of the value), so a percentile is right to 0.1 %; sum and
maximum are exact. A row of decode steps is added at once, and fills the same buckets as its steps
would one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

__all__ = ["GapCounts", "TokenGaps", "bucket_of"]

LEADING_BITS: Final = 11
"""Of a gap in nanoseconds; the rest of it is dropped. 2 ** -10 is 0.1 %."""


class GapCounts(msgspec.Struct, frozen=True, array_like=True):
    """A frozen snapshot: (least gap of the bucket in nanoseconds, gaps in it), by gap."""

    buckets: tuple[tuple[int, int], ...] = ()
    total_ns: int = 0
    longest_ns: int = 0

    @property
    def count(self) -> int:
        """How many gaps there were."""
        return sum(count for _, count in self.buckets)

    @staticmethod
    def together(parts: Iterable[GapCounts]) -> GapCounts:
        """Those of several ranks."""
        gaps = TokenGaps()
        for part in parts:
            for bucket, count in part.buckets:
                gaps.counts[bucket] = gaps.counts.get(bucket, 0) + count
            gaps.total_ns += part.total_ns
            gaps.longest_ns = max(gaps.longest_ns, part.longest_ns)
        return gaps.snapshot()


def bucket_of(gap_ns: int) -> int:
    """The least gap of its bucket."""
    drop = gap_ns.bit_length() - LEADING_BITS
    return gap_ns if drop <= 0 else gap_ns >> drop << drop


class TokenGaps:
    """Counts gaps; O(1) each, and O(buckets) for a row of steps."""

    __slots__ = ("counts", "longest_ns", "total_ns")

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}
        self.total_ns = 0
        self.longest_ns = 0

    def add(self, gap_ns: int, count: int) -> None:
        """So many tokens came so long after the token before them."""
        bucket = bucket_of(gap_ns)
        self.counts[bucket] = self.counts.get(bucket, 0) + count
        self.total_ns += gap_ns * count
        if gap_ns > self.longest_ns:
            self.longest_ns = gap_ns

    def add_step(
        self, began_ns: int, ended_ns: int, last_ns: int, tokens: int, waited: Sequence[int]
    ) -> None:
        """A step made `tokens` tokens. Those of `waited` are the second ones of their requests,
        which had their first so long before the step began; the others follow the step before it,
        which ended at `last_ns`."""
        for wait_ns in waited:
            self.add(wait_ns + ended_ns - began_ns, 1)
        if tokens > len(waited):
            self.add(max(ended_ns - last_ns, 0), tokens - len(waited))

    def add_rows(
        self, rows: Iterable[tuple[int, int, int]], ticks_per_ns: int, took_ns: int, tokens: int
    ) -> None:
        """So many tokens came with each step of some rows of (steps, base, slope). The k-th step of
        a row took (base + k * slope) // ticks_per_ns nanoseconds, and all together `took_ns`."""
        for steps, base, slope in rows:
            if steps:
                self._add_row(steps, base, slope, ticks_per_ns, tokens)
        self.total_ns += took_ns * tokens

    def _add_row(self, steps: int, base: int, slope: int, ticks_per_ns: int, tokens: int) -> None:
        done = 0
        while done < steps:
            gap_ns = (base + done * slope) // ticks_per_ns
            bucket = bucket_of(gap_ns)
            end = steps
            if slope:
                # The first step whose gap belongs to the next bucket.
                width = 1 << max(gap_ns.bit_length() - LEADING_BITS, 0)
                end = min(-(-((bucket + width) * ticks_per_ns - base) // slope), steps)
            self.counts[bucket] = self.counts.get(bucket, 0) + (end - done) * tokens
            done = end
        self.longest_ns = max(self.longest_ns, (base + (steps - 1) * slope) // ticks_per_ns)

    def snapshot(self) -> GapCounts:
        """What has been counted so far."""
        return GapCounts(tuple(sorted(self.counts.items())), self.total_ns, self.longest_ns)
