"""Who of a group is left: one value for all who share a process."""

from __future__ import annotations

from adpkv.core.membership import Membership


def test_who_is_left_and_which_indices_are_not() -> None:
    whole = Membership(range(8, 12))
    assert (list(whole.living), whole.failed) == ([8, 9, 10, 11], frozenset())
    second = whole.without(9).without(8)
    assert (second.living, second.failed) == ([10, 11], {0, 1})
    assert list(whole.living) == [8, 9, 10, 11], "it is a value"
    assert second.without(10).without(11).living == []


def test_whoever_asks_the_same_has_the_same_answer() -> None:
    """A list of its own on each of 16,384 ranks takes 11 GB."""
    whole = Membership(range(4))
    assert whole.without(2) is whole.without(2)
    assert whole.without(2).without(0) is whole.without(2).without(0)
    assert whole.without(1) is not whole.without(2)
