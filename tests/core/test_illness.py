"""Which instance is to be taken out when transfers are stuck."""

from __future__ import annotations

import pytest

from adpkv.core.illness import Illness, is_excused, summed_up, to_blame
from adpkv.core.stop import StopReason

ILL = StopReason(75, "unhealthy: no_progress")
ALONE, FIRST, SECOND, THIRD = 0, 1, 2, 3
"""The one context instance, which nobody can replace, and three generation instances."""


def blamed(ill: dict[int, set[int]], out: tuple[int, ...] = ()) -> int | None:
    return to_blame(ill, out, lambda one: one != ALONE)


@pytest.mark.parametrize(
    ("ill", "out", "worst"),
    [
        ({}, (), None),
        ({SECOND: {ALONE}}, (), SECOND),
        ({ALONE: {SECOND}}, (), SECOND),
        ({ALONE: {SECOND}, SECOND: {ALONE}}, (SECOND,), None),
        ({ALONE: {SECOND, THIRD}, SECOND: {ALONE}}, (SECOND,), ALONE),
        ({SECOND: set()}, (), SECOND),
        ({SECOND: {ALONE}, THIRD: {ALONE}}, (), ALONE),
    ],
    ids=[
        "nobody",
        "who can be replaced",
        "also if it says nothing",
        "one end is out, and the other excused",
        "stuck with others too",
        "nobody knows with whom",
        "the one that several are stuck with",
    ],
)
def test_who_is_to_blame(ill: dict[int, set[int]], out: tuple[int, ...], worst: int | None) -> None:
    assert blamed(ill, out) == worst


def test_of_two_equals_it_is_the_one_that_is_unhealthy() -> None:
    assert to_blame({FIRST: {SECOND}}, (), lambda one: True) == FIRST


def test_only_stuck_transfers_with_those_that_are_out_excuse() -> None:
    ill = {FIRST: {SECOND}, THIRD: set[int]()}
    assert is_excused(FIRST, ill, (SECOND,))
    assert not is_excused(FIRST, ill, ())
    assert not is_excused(THIRD, ill, (SECOND,)), "nothing is known"


def test_an_instance_is_ill_with_all_peers_of_its_ranks() -> None:
    assert summed_up([None, None]) is None
    other = StopReason(75, "unhealthy: stuck_in_quarantine")
    found = summed_up([None, Illness(ILL, (7, 3)), Illness(other, (3, 5))])
    assert found == Illness(ILL, (3, 5, 7))
