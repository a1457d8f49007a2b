"""What ranks that hold replicas agree on: contract 5.7, line by line."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adpkv.core.ownership import Vote, agree_on
from adpkv.core.values import Outcome

DONE, LATE, BAD, AWAY = (
    Outcome.COMPLETED,
    Outcome.TIMED_OUT,
    Outcome.FAILED,
    Outcome.CANCELLED,
)
ORDER = (DONE, LATE, BAD, AWAY)


def agreed(*said: Outcome | str | None) -> list[Outcome | None]:
    """What becomes of request 1 when these are said of it; "" says nothing."""
    votes = [() if one == "" else (Vote(1, one),) for one in said]  # type: ignore[arg-type]
    return [vote.outcome for vote in agree_on(votes, len(said))]


def test_completion_needs_all_ranks() -> None:
    assert agreed(DONE, DONE, DONE) == [DONE]
    assert agreed(DONE, "", DONE) == []


@pytest.mark.parametrize("outcome", [LATE, BAD, AWAY])
@pytest.mark.parametrize("where", range(3))
@pytest.mark.parametrize("others", ["", DONE])
def test_anything_else_needs_one(outcome: Outcome, where: int, others: str) -> None:
    said: list[Outcome | str] = [others] * 3
    said[where] = outcome
    assert agreed(*said) == [outcome]


@pytest.mark.parametrize(("less", "more"), list(itertools.combinations(ORDER, 2)))
def test_cancelled_beats_failed_beats_a_deadline_beats_completed(
    less: Outcome, more: Outcome
) -> None:
    assert agreed(less, more) == agreed(more, less) == [more]


def test_blocks_are_let_go_when_the_last_rank_has_proof() -> None:
    assert agreed(None, None) == [None]
    assert agreed(None, "") == agreed("", None) == []
    assert agreed(None, DONE) == [], "not the same words, so not agreed"


def test_what_is_told_is_the_lowest_ranks_reason() -> None:
    said = [(), (Vote(1, LATE, "second"),), (Vote(1, LATE, "third"),)]
    assert agree_on(said, 3) == (Vote(1, LATE, "second"),)


def test_by_request_whoever_spoke_first() -> None:
    said = [(Vote(9), Vote(4, BAD)), (Vote(2, BAD), Vote(9))]
    assert [vote.request_id for vote in agree_on(said, 2)] == [2, 4, 9]
    assert agree_on([(), ()], 2) == ()


WORDS = st.dictionaries(st.integers(0, 3), st.sampled_from([None, *ORDER]))


@given(st.lists(WORDS, min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_no_rank_counts_more_than_another(words: list[dict[int, Outcome]], random: object) -> None:
    said = [tuple(Vote(*word) for word in one.items()) for one in words]
    shuffled = list(said)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert agree_on(said, len(said)) == agree_on(shuffled, len(said))
