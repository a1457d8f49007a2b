"""Columns of a request's time: nothing is counted twice, nothing is left out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from adpkv.core.columns import COLUMNS, CONTEXT_PLACE, GENERATION_PLACE, Ledger, spans

TIMES = st.integers(-50, 200)


def test_spans_lie_between_the_marks() -> None:
    assert spans((10, 12, 20), 25) == (2, 8, 5)


def test_what_never_began_took_no_time() -> None:
    assert spans((10, -1, -1), 25) == (15, 0, 0)


def test_what_was_passed_over_belongs_to_what_came_before() -> None:
    assert spans((10, -1, 20), 25) == (10, 0, 5)


def test_a_clock_that_ran_ahead_is_cut_from_behind() -> None:
    for told, booked in (((5, 9, 9), [5, 5, 0]), ((5, -3, 1), [5, 0, 1])):
        ledger = Ledger(0)
        ledger.answered(GENERATION_PLACE, told, 10)
        assert ledger.spent == [0, 0, 0, 10 - sum(booked), *booked, 0, 0, 0, 0]


def test_what_no_server_measured_was_spent_on_the_way() -> None:
    ledger = Ledger(0)
    ledger.waited(1)
    ledger.answered(CONTEXT_PLACE, (2, 3), 10)
    ledger.answered(GENERATION_PLACE, (1, 1, 1, 1, 1, 1), 20)
    assert ledger.spent == [1, 2, 3, 4 + 4, 1, 1, 1, 1, 1, 1, 0]


def test_a_lost_attempt_keeps_none_of_its_columns() -> None:
    ledger = Ledger(0)
    ledger.waited(1)
    ledger.answered(CONTEXT_PLACE, (2, 3), 10)
    ledger.lost(15)
    ledger.answered(CONTEXT_PLACE, (1, 1), 18)
    ledger.unanswered(20)
    assert ledger.spent == [1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 14 + 2]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["context", "generation", "lost", "unanswered"]),
            st.lists(TIMES, max_size=6),
            st.integers(0, 100),
        )
    )
)
def test_they_add_up_whatever_is_told(legs: list[tuple[str, list[int], int]]) -> None:
    now_ns, ledger = 7, Ledger(0)
    ledger.waited(now_ns)
    for what, spent, took_ns in legs:
        now_ns += took_ns
        if what == "context":
            ledger.answered(CONTEXT_PLACE, spent[:2], now_ns)
        elif what == "generation":
            ledger.answered(GENERATION_PLACE, spent, now_ns)
        elif what == "lost":
            ledger.lost(now_ns)
        else:
            ledger.unanswered(now_ns)
        assert sum(ledger.spent) == now_ns
        assert min(ledger.spent) >= 0
    assert len(ledger.spent) == len(COLUMNS)
