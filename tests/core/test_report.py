"""What a rank's report is judged by: traces that diverge."""

from __future__ import annotations

from adpkv.core.report import (
    BlockCounts,
    RankReport,
    TransferCounts,
    by_instance,
    diverging_traces,
    of_ranks,
)


def report(rank: int, instance: int, trace_length: int, trace: int) -> RankReport:
    nothing = (0, None, 1, 1, 1, 0, TransferCounts(), BlockCounts())
    return RankReport(
        rank, instance, *nothing, left_ns=100 + rank, trace_length=trace_length, trace=trace
    )


def test_reports_of_some_ranks_where_others_have_failed() -> None:
    reports = [report(rank, rank // 3, 9, 1) for rank in (0, 1, 4, 5, 7, 8)]
    for first in (0, 3, 6, 9):
        found = of_ranks(reports, range(first, first + 3))
        assert [one.rank for one in found] == [
            one.rank for one in reports if one.instance == first // 3
        ]
    assert {index: len(told) for index, told in by_instance(reports).items()} == {0: 2, 1: 2, 2: 2}


def test_equal_traces_are_what_must_be() -> None:
    """Instances meet for themselves; a world without traces has none that differ."""
    assert diverging_traces([]) == []
    assert diverging_traces([report(0, 0, 9, 1), report(1, 0, 9, 1), report(2, 1, 5, 7)]) == []
    assert diverging_traces([report(rank, rank // 2, 0, 0) for rank in range(4)]) == []


def test_a_trace_that_differs_is_told_with_both_sides() -> None:
    reports = [report(0, 0, 9, 1), report(1, 0, 9, 2), report(2, 0, 9, 1), report(3, 1, 9, 3)]
    (found,) = diverging_traces(reports)
    assert (found.kind, found.rank, found.at_ns) == ("diverging_traces", 1, 102)
    assert found.detail == (
        "ranks 0, 2 made 9 collectives (digest 00000001); rank 1 made 9 collectives (digest"
        " 00000002)"
    )


def test_a_collective_too_few_is_told_too() -> None:
    (found,) = diverging_traces([report(0, 0, 9, 1), report(1, 0, 9, 1), report(2, 0, 8, 1)])
    assert found.rank == 2
