"""Draws: keyed, exact, and distributed as they say."""

from __future__ import annotations

import copy
import pickle

import pytest

from adpkv import random_draws
from adpkv.random_draws import (
    MANTISSA_BITS,
    Draws,
    _minus_ln,
    _minus_ln_by_decimals,
    exponential,
    integer,
    uniform,
)
from adpkv.workload.cancels import Clients
from adpkv.workload.shapes import Shapes


def test_a_draw_is_the_same_on_every_platform() -> None:
    assert uniform(1, "cancel", 7) == 0.3945668822032782
    assert integer(0, 10**12, 1, "cancel", 7) == 394566882203
    assert exponential(1, "gap", 7) == 1.241038533001827


def test_keys_and_seeds_are_told_apart() -> None:
    drawn = {
        uniform(1, "a", 1),
        uniform(2, "a", 1),
        uniform(1, "a", 2),
        uniform(1, "b", 1),
        uniform(1, "a", "1"),
        uniform(1, "a1"),
        uniform(1, "a", 1, 1),
    }
    assert len(drawn) == 7


def test_draws_of_one_kind_are_those_of_its_keys() -> None:
    for seed, what in ((1, "gap"), (-3, "it's"), (1 << 70, "")):
        draws = Draws(seed, what)
        for number in (0, 7, -1, 1 << 64):
            assert draws.integer(-5, 1 << 62, number) == integer(-5, 1 << 62, seed, what, number)
            assert draws.exponential(number) == exponential(seed, what, number)


def test_draws_can_be_copied_and_pickled() -> None:
    draws = Draws(1 << 70, "it's")
    for other in (copy.copy(draws), copy.deepcopy(draws), pickle.loads(pickle.dumps(draws))):
        assert other.exponential(7) == draws.exponential(7)
    shapes = Shapes(3, 16, 1, 900, 1, 90, groups=4, shared_tokens=64)
    for same in (copy.deepcopy(shapes), pickle.loads(pickle.dumps(shapes))):
        assert same == shapes
        assert same.arrival(5, 0, Clients(3)) == shapes.arrival(5, 0, Clients(3))


def test_uniform_numbers_fill_the_unit_interval() -> None:
    drawn = [uniform(3, "u", i) for i in range(4000)]
    assert 0 <= min(drawn) < 0.01
    assert 0.99 < max(drawn) < 1
    assert sum(drawn) / len(drawn) == pytest.approx(0.5, abs=0.02)


def test_integers_include_both_ends() -> None:
    assert {integer(-1, 1, 3, i) for i in range(100)} == {-1, 0, 1}
    assert integer(5, 5, 3, 0) == 5


def test_an_empty_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no integer in \[2, 1\]"):
        integer(2, 1, 0)


ALL = 1 << MANTISSA_BITS


def test_a_fast_logarithm_is_the_one_in_decimals() -> None:
    found = [_minus_ln(part) == _minus_ln_by_decimals(part) for part in (1, ALL, ALL - 1, ALL // 2)]
    found += [_minus_ln(ALL - (1 << n)) == _minus_ln_by_decimals(ALL - (1 << n)) for n in range(53)]
    for number in range(20_000):
        part = integer(1, ALL, 5, number) >> (number % 7 * (number % 3))
        found.append(_minus_ln(max(part, 1)) == _minus_ln_by_decimals(max(part, 1)))
    assert all(found)


def test_it_is_left_to_the_decimals_where_it_cannot_be_sure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []

    def noted(part: int) -> float:
        asked.append(part)
        return _minus_ln_by_decimals(part)

    monkeypatch.setattr(random_draws, "_minus_ln_by_decimals", noted)
    drawn = [integer(1, ALL, 6, number) for number in range(8_000)]
    for part in drawn:
        _minus_ln(part)
    assert 0 < len(asked) < len(drawn) / 50, "some are near the middle of two doubles, few are"
    _minus_ln(ALL - 1)
    assert asked[-1] == ALL - 1


def test_exponential_numbers_have_mean_one() -> None:
    drawn = [exponential(3, "e", i) for i in range(4000)]
    assert min(drawn) >= 0
    assert sum(drawn) / len(drawn) == pytest.approx(1.0, abs=0.05)
    assert sum(x > 1 for x in drawn) / len(drawn) == pytest.approx(0.368, abs=0.03)
