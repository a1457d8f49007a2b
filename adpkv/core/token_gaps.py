"""The gaps between tokens (inter-token latency), counted in a histogram.

Millions of gaps are kept as a few hundred counts. A bucket is 0.1 % as wide as its values (as in
HdrHistogram: a bucket is the leading bits of the value), so percentiles are accurate to 0.1 %. Sum
and maximum are exact. A row of decode steps is added at once, and fills the same buckets as its
steps would one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from adpkv.core.gap_counts import GapCounts

__all__ = ["TokenGaps", "bucket_of", "together"]

LEADING_BITS: Final = 11
"""How many leading bits of a gap in nanoseconds its bucket keeps: 2 ** -10 is 0.1 %."""


def together(parts: Iterable[GapCounts]) -> GapCounts:
    """The sum of the counts of several ranks."""
    gaps = TokenGaps()
    for part in parts:
        for bucket, count in part.buckets:
            gaps.counts[bucket] = gaps.counts.get(bucket, 0) + count
        gaps.total_ns += part.total_ns
        gaps.longest_ns = max(gaps.longest_ns, part.longest_ns)
    return gaps.snapshot()


def bucket_of(gap_ns: int) -> int:
    """The smallest gap of the bucket to which `gap_ns` belongs."""
    drop = gap_ns.bit_length() - LEADING_BITS
    return gap_ns if drop <= 0 else gap_ns >> drop << drop


class TokenGaps:
    """Counts gaps; O(1) each, O(buckets) for a row of steps."""

    __slots__ = ("counts", "longest_ns", "total_ns")

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}
        self.total_ns = 0
        self.longest_ns = 0

    def add(self, gap_ns: int, count: int) -> None:
        """Count `count` tokens that came `gap_ns` after the token before them."""
        drop = gap_ns.bit_length() - LEADING_BITS  # as `bucket_of`
        bucket = gap_ns if drop <= 0 else gap_ns >> drop << drop
        self.counts[bucket] = self.counts.get(bucket, 0) + count
        self.total_ns += gap_ns * count
        if gap_ns > self.longest_ns:
            self.longest_ns = gap_ns

    def add_step(
        self, began_ns: int, ended_ns: int, last_ns: int, tokens: int, waited: Sequence[int]
    ) -> None:
        """Count the gaps of one decode step.

        Args:
            began_ns, ended_ns: the step's beginning and end.
            last_ns: the end of the step before it.
            tokens: how many tokens the step made, one per request.
            waited: for each request that got its second token: how long it had had the first one
                when the step began, in nanoseconds. The other requests were in the step before.
        """
        for wait_ns in waited:
            self.add(wait_ns + ended_ns - began_ns, 1)
        if tokens > len(waited):
            self.add(ended_ns - last_ns if ended_ns > last_ns else 0, tokens - len(waited))

    def add_rows(
        self, rows: Iterable[tuple[int, int, int]], ticks_per_ns: int, took_ns: int, tokens: int
    ) -> None:
        """Count the gaps of several rows of decode steps, each of which made `tokens` tokens.

        Args:
            rows: (steps, base, slope) of each row. Its k-th step, from 0, took
                (base + k * slope) // ticks_per_ns nanoseconds.
            ticks_per_ns: the unit of base and slope.
            took_ns: how long all steps of all rows took together.
            tokens: how many tokens each step made.
        """
        for steps, base, slope in rows:
            if steps:
                self._add_row(steps, base, slope, ticks_per_ns, tokens)
        self.total_ns += took_ns * tokens

    def _add_row(self, steps: int, base: int, slope: int, ticks_per_ns: int, tokens: int) -> None:
        counts, done = self.counts, 0
        while done < steps:
            gap_ns = (base + done * slope) // ticks_per_ns
            drop = gap_ns.bit_length() - LEADING_BITS  # as `bucket_of`
            if drop < 0:
                drop = 0
            bucket, end = gap_ns >> drop << drop, steps
            if slope:
                # The first step whose gap belongs to the next bucket.
                following = -(-((bucket + (1 << drop)) * ticks_per_ns - base) // slope)
                if following < steps:
                    end = following
            counts[bucket] = counts.get(bucket, 0) + (end - done) * tokens
            done = end
        last_ns = (base + (steps - 1) * slope) // ticks_per_ns
        if last_ns > self.longest_ns:
            self.longest_ns = last_ns

    def snapshot(self) -> GapCounts:
        """What has been counted so far."""
        return GapCounts(tuple(sorted(self.counts.items())), self.total_ns, self.longest_ns)
