"""Pieces rebuild the transfer, in order, and no neighbours are left apart."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adpkv.core.content import pieces

RUNS = st.lists(st.tuples(st.integers(0, 50), st.integers(1, 6)), max_size=8)
"""Blocks as runs of neighbours: (first, count)."""


def _blocks(runs: list[tuple[int, int]]) -> list[int]:
    return [first + i for first, count in runs for i in range(count)]


@given(RUNS, RUNS, st.integers(1, 7))
def test_pieces_are_the_transfer_and_as_few_as_can_be(
    source_runs: list[tuple[int, int]], target_runs: list[tuple[int, int]], most: int
) -> None:
    source, target = _blocks(source_runs), _blocks(target_runs)
    count = min(len(source), len(target))
    source, target = source[:count], target[:count]
    found = pieces(source, target, most)
    assert [s + i for s, _, n in found for i in range(n)] == source
    assert [t + i for _, t, n in found for i in range(n)] == target
    assert all(1 <= n <= most for _, _, n in found)
    for (s, t, n), (next_s, next_t, _) in itertools.pairwise(found):
        assert n == most or (s + n, t + n) != (next_s, next_t), "neighbours were cut apart"


def test_an_example() -> None:
    assert pieces([4, 5, 6, 9], [0, 1, 5, 6], 8) == [(4, 0, 2), (6, 5, 1), (9, 6, 1)]


@pytest.mark.parametrize(("source", "target", "most"), [([1], [], 1), ([1], [1], 0)])
def test_what_makes_no_sense_is_refused(source: list[int], target: list[int], most: int) -> None:
    with pytest.raises(ValueError, match="source and"):
        pieces(source, target, most)


@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 40), st.integers(1, 7))
def test_ranges_are_cut_like_lists(source: int, target: int, count: int, most: int) -> None:
    """Both ends of a staged transfer cut ranges; who cuts lists must come to the same."""
    ranges = range(source, source + count), range(target, target + count)
    assert pieces(*ranges, most) == pieces(*map(list, ranges), most)
