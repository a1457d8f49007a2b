"""Numbers over time in bins, against adding up by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adpkv.reports.series import counts_in, edges_of, held_until, mean_overlap, rate_between

SPANS = st.lists(st.tuples(st.integers(0, 999), st.integers(0, 999)).map(sorted), max_size=20)


@given(SPANS)
def test_overlap_is_that_of_each_interval_with_each_bin(spans: list[list[int]]) -> None:
    edges = edges_of(1000, 7)
    starts, ends = (np.array([span[at] for span in spans], np.int64) for at in (0, 1))
    found = mean_overlap(starts, ends, edges)
    for number in range(7):
        low, high = edges[number], edges[number + 1]
        by_hand = sum(max(0, min(end, high) - max(start, low)) for start, end in spans)
        assert found[number] == pytest.approx(by_hand / (high - low), abs=1e-6)


def test_a_reading_says_how_it_was_until_then() -> None:
    at, values = np.array([10, 40]), np.array([1, 7])
    assert held_until(at, values, edges_of(60, 6)).tolist() == [1, 7, 7, 7, 7, 7]


def test_a_total_grows_evenly_between_its_readings() -> None:
    at, totals = np.array([0, 20, 40]), np.array([0, 10, 10])
    assert (rate_between(at, totals, edges_of(40, 4)) * 10).tolist() == [5, 5, 0, 0]


def test_each_time_is_in_one_bin_the_last_too() -> None:
    assert counts_in(np.array([0, 5, 10]), edges_of(10, 2)).tolist() == [1, 2]
