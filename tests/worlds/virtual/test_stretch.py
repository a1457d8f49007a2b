"""Quiet stretches are exact: as adding the steps and waits up one by one."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from adpkv.worlds.virtual.stretch import (
    Line,
    StepStretch,
    WaitStretch,
    columns_of,
    envelope,
    floor_sum,
)

LINES = st.lists(st.tuples(st.integers(1, 50), st.integers(0, 9)), min_size=1, max_size=6)


def step_ns(lines: list[Line], k: int) -> int:
    """The k-th step takes as long as its slowest rank."""
    return max(base + k * slope for base, slope in lines)


@given(LINES, st.integers(1, 40))
def test_the_envelope_is_the_slowest_rank_at_each_step(lines: list[Line], most: int) -> None:
    found = [
        base + i * slope for _, steps, base, slope in envelope(lines, most) for i in range(steps)
    ]
    assert found == [step_ns(lines, k) for k in range(most)]


@given(LINES, st.integers(1, 40))
def test_segments_follow_each_other(lines: list[Line], most: int) -> None:
    at = 0
    for first, steps, _, _ in envelope(lines, most):
        assert first == at
        assert steps > 0
        at += steps
    assert at == most


@given(LINES, st.integers(1, 40), st.integers(0, 10**6), st.integers(0, 7), st.integers(-50, 2500))
def test_a_stretch_of_steps_ends_where_single_steps_would(
    lines: list[Line], most: int, began: int, overhead: int, span: int
) -> None:
    """At the first boundary at or after the limit; one step at least, `most` at most."""
    until = began + span
    steps, at = 0, began
    while steps < most and (steps == 0 or at < until):
        at += overhead + step_ns(lines, steps)
        steps += 1
    assert StepStretch(began, overhead, columns_of(lines), most).end(until) == (steps, at)


@example(lines=[(1, 0)], most=2, overhead=0, span=0, ticks=3)
@given(LINES, st.integers(1, 40), st.integers(0, 9), st.integers(-50, 400), st.integers(2, 60))
def test_fractions_are_rounded_once_a_step(
    lines: list[Line], most: int, overhead: int, span: int, ticks: int
) -> None:
    """Each step to the nearest nanosecond, the later of two; the row as the sum of those."""
    steps, at = 0, 0
    while steps < most and (steps == 0 or at < span):
        at += overhead + (2 * step_ns(lines, steps) + ticks) // (2 * ticks)
        steps += 1
    assert StepStretch(0, overhead, columns_of(lines), most, ticks).end(span) == (steps, at)


def test_a_time_before_all_others_is_asked_for_like_any() -> None:
    assert StepStretch(0, 0, columns_of([(7, 0)]), 9).end(-1) == (1, 7)


@given(st.integers(0, 50), st.integers(0, 99), st.integers(0, 99), st.integers(1, 40))
def test_a_sum_of_floors_is_that(steps: int, base: int, slope: int, divisor: int) -> None:
    singly = sum((base + k * slope) // divisor for k in range(steps))
    assert floor_sum(steps, base, slope, divisor) == singly


@given(st.integers(1, 10**9), st.integers(0, 10**4), st.integers(2, 10**6), st.integers(1, 10**15))
def test_a_long_row_of_fractions_ends_at_the_first_boundary_there(
    base: int, slope: int, ticks: int, span: int
) -> None:
    most = 1 << 31
    steps, at = StepStretch(0, 0, columns_of([(base, slope)]), most, ticks).end(span)
    more = base + ticks // 2
    assert at == floor_sum(steps, more, slope, ticks)
    assert steps == most or at >= span
    assert steps == 1 or floor_sum(steps - 1, more, slope, ticks) < span


@given(st.integers(10**15, 10**16), st.integers(1, 10**6), st.integers(1, 10**4))
def test_large_numbers_stay_exact(span: int, base: int, slope: int) -> None:
    """Where floats would round: a step less is too early, this one is not."""

    def total(n: int) -> int:
        return n * base + slope * (n * (n - 1) // 2)

    steps, at = StepStretch(0, 0, columns_of([(base, slope)]), 1 << 40).end(span)
    assert at == total(steps) >= span > total(steps - 1)


@given(st.integers(0, 99), st.integers(0, 5), st.integers(1, 9), st.integers(-20, 200))
def test_a_stretch_of_waits_ends_where_single_waits_would(
    began: int, overhead: int, limit: int, span: int
) -> None:
    at = began + overhead + limit
    while at < began + span:
        at += overhead + limit
    assert WaitStretch(began, overhead, limit).end(began + span) == at


@given(st.integers(0, 99), st.integers(0, 5), st.integers(1, 9), st.integers(0, 200))
def test_notice_end_the_wait_that_is_under_way(
    began: int, overhead: int, limit: int, span: int
) -> None:
    """During the collectives it waits for their end; in the wait it ends it at once."""
    arrival = began + span
    at = began
    while at + overhead + limit < arrival:
        at += overhead + limit
    expected = max(at + overhead, arrival)
    assert WaitStretch(began, overhead, limit).arrival(arrival) == expected


@pytest.mark.parametrize("until", [0, 10, 99])
def test_waits_that_take_no_time(until: int) -> None:
    waits = WaitStretch(10, 0, 0)
    assert waits.end(until) == 10
    assert waits.arrival(until) == until
