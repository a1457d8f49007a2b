"""The exit code that wins: contract 6.6 over all pairs of codes."""

from __future__ import annotations

import itertools

import pytest

from adpkv.core.report import EXIT_PRECEDENCE, OUTCOMES, worst

# "precedence 70, 4, 3, 5, 2, 75, signals, 0"
CONTRACT = (70, 4, 3, 5, 2, 75, 143, 130, 0)


@pytest.mark.parametrize(("a", "b"), list(itertools.product(CONTRACT, repeat=2)))
def test_the_earlier_in_the_contract_wins(a: int, b: int) -> None:
    assert worst([a, b]) == min((a, b), key=CONTRACT.index)


def test_all_codes_have_a_word_and_a_place() -> None:
    assert set(OUTCOMES) == set(EXIT_PRECEDENCE) == set(CONTRACT)


def test_an_unknown_code_is_an_internal_error() -> None:
    assert worst([0, 1]) == 70


def test_nothing_proposed_is_success() -> None:
    assert worst([]) == 0
