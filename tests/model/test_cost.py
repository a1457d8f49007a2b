"""The cost model: a line over the batch, exact, and taking that long for real."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adpkv.core.step_cost import Costs
from adpkv.model.cost import CostModel
from adpkv.model.port import Batch, rounded_ns

COSTS = Costs(
    base_ns=1000,
    prefill_token_ns=10,
    prefill_pair_ns=3,
    sequence_ns=50,
    context_token_ns=2,
)


def model(scale: float = 1.0, slept: list[float] | None = None) -> CostModel:
    return CostModel(COSTS, scale, (slept if slept is not None else []).append)


def test_a_dummy_costs_the_base() -> None:
    assert model().line(Batch()) == (1000, 0)


def test_prefill_pays_by_token_and_by_pair() -> None:
    assert model().line(Batch(prefill_tokens=4, prefill_pairs=10)) == (1000 + 40 + 30, 0)


def test_decode_pays_by_sequence_and_by_token_read_and_grows() -> None:
    assert model().line(Batch(sequences=3, context_tokens=100)) == (1000 + 150 + 200, 6)


@given(st.integers(1, 64), st.integers(1, 10**6), st.integers(0, 500))
def test_the_kth_step_is_the_step_over_the_grown_batch(
    sequences: int, context: int, k: int
) -> None:
    """What a stretch of n steps takes is exactly what n single steps take."""
    base, slope = model().line(Batch(sequences=sequences, context_tokens=context))
    grown = Batch(sequences=sequences, context_tokens=context + k * sequences)
    assert base + k * slope == model().line(grown)[0]


def test_a_real_step_takes_its_time_scaled() -> None:
    slept: list[float] = []
    model(0.5, slept).run(Batch(sequences=1, context_tokens=100))
    assert slept == [(1000 + 50 + 200) * 0.5 / 1e9]


def test_a_fraction_is_rounded_once_a_step_and_not_a_token() -> None:
    fine = CostModel(Costs(1000, Fraction(1, 4), Fraction(1, 10), 0, 0), 1.0, [].append)
    assert fine.ticks_per_ns == 20
    ticks, _ = fine.line(Batch(prefill_tokens=10, prefill_pairs=55))
    assert rounded_ns(ticks, fine.ticks_per_ns) == 1000 + 8  # 2.5 and 5.5


@pytest.mark.parametrize(("ticks", "whole_ns"), [(0, 0), (1, 0), (2, 1), (3, 1), (5, 1), (6, 2)])
def test_the_nearest_nanosecond_the_later_of_two(ticks: int, whole_ns: int) -> None:
    assert rounded_ns(ticks, 4) == whole_ns


def test_a_step_that_takes_no_time_does_not_sleep() -> None:
    slept: list[float] = []
    model(0.0, slept).run(Batch(sequences=1, context_tokens=100))
    assert slept == []
