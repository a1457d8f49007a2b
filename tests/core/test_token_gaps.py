"""Gaps between tokens: rows fill the buckets that their steps would, and buckets are fine."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adpkv.core.gap_counts import GapCounts
from adpkv.core.token_gaps import TokenGaps, bucket_of, together


@given(st.integers(0, 1 << 60))
def test_a_bucket_is_a_thousandth_wide(gap_ns: int) -> None:
    assert bucket_of(gap_ns) <= gap_ns < bucket_of(gap_ns) * (1 + 2**-10) + 1
    assert bucket_of(bucket_of(gap_ns)) == bucket_of(gap_ns)


@given(
    st.integers(1, 300),
    st.integers(0, 10**8),
    st.integers(0, 10**6),
    st.sampled_from([1, 2, 3, 1000]),
    st.integers(1, 5),
)
def test_a_row_counts_as_its_steps_would(
    steps: int, base: int, slope: int, ticks: int, tokens: int
) -> None:
    row, single = TokenGaps(), TokenGaps()
    gaps = [(base + k * slope) // ticks for k in range(steps)]
    row.add_rows([(steps, base, slope)], ticks, sum(gaps), tokens)
    for gap_ns in gaps:
        single.add(gap_ns, tokens)
    assert row.snapshot() == single.snapshot()


def test_who_is_new_to_a_step_has_waited_for_it() -> None:
    gaps = TokenGaps()
    gaps.add_step(began_ns=100, ended_ns=110, last_ns=95, tokens=3, waited=(40,))
    assert gaps.snapshot() == GapCounts(((15, 2), (50, 1)), 80, 50)


def test_those_of_several_ranks_together() -> None:
    parts = [GapCounts(((5, 2),), 10, 5), GapCounts(((5, 1), (9, 1)), 14, 9), GapCounts()]
    assert together(parts) == GapCounts(((5, 3), (9, 1)), 24, 9)


EDGES = [
    (leading << drop) + one
    for leading in (0, 1, 1023, 1024, 1025, 1500, 2046, 2047, 2048)
    for drop in (0, 1, 2, 9, 20, 40)
    for one in (-1, 0, 1)
    if (leading << drop) + one >= 0
]
"""Gaps around the ends of buckets, and those around the first that is wider than a nanosecond."""


@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.parametrize("slope", [0, 1])
def test_all_say_the_same_of_the_edges_of_buckets(slope: int, steps: int) -> None:
    """`add` and `add_rows` have `bucket_of` written into them, as to call it takes too long."""
    for edge in EDGES:
        gaps = [edge + k * slope for k in range(steps)]
        single, row = TokenGaps(), TokenGaps()
        for gap_ns in gaps:
            single.add(gap_ns, 1)
        row.add_rows([(steps, edge, slope)], 1, sum(gaps), 1)
        assert single.counts == row.counts == Counter(map(bucket_of, gaps)), edge
