"""Confidence over seeds: the same each time, narrow where seeds agree, else wide."""

from __future__ import annotations

import pytest

from adpkv.comparison.bootstrap import difference


def test_a_difference_that_all_seeds_show_is_sure() -> None:
    found = difference([10, 20, 30, 40], [11, 22, 33, 44], paired=True)
    assert found.value == pytest.approx(0.1)
    assert found.low == pytest.approx(0.1)
    assert found.high == pytest.approx(0.1)
    assert found.sure
    assert difference([10, 20, 30, 40], [11, 22, 33, 44], paired=True) == found


def test_what_seeds_differ_in_by_themselves_is_doubt_unless_they_are_paired() -> None:
    alone = difference([10, 20, 30, 40], [11, 22, 33, 44], paired=False)
    assert alone.low is not None
    assert alone.low < 0 < alone.high  # type: ignore[operator]
    assert not alone.sure


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    """Means of 8 values of one distribution: nothing differs, and few intervals say so. Percentile
    intervals of small samples are too narrow, so 80 of 100 at least."""
    from adpkv.random_draws import exponential

    held = 0
    for case in range(100):
        first = [exponential(case, "first", at) for at in range(8)]
        other = [exponential(case, "other", at) for at in range(8)]
        held += not difference(first, other, paired=False).sure
    assert 80 <= held < 100


def test_with_two_seeds_nothing_is_said_of_confidence() -> None:
    found = difference([1, 2], [2, 4], paired=True)
    assert (found.value, found.low, found.sure) == (1.0, None, False)


def test_a_difference_from_nothing_is_absolute() -> None:
    found = difference([0, 0, 0], [1, 2, 3], paired=True)
    assert (found.value, found.relative) == (2.0, False)
    assert found.sure
