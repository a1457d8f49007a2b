"""Who decides about a request: a rank alone, or with the others that hold a part of it."""

from __future__ import annotations

from adpkv.core.ownership import Replica, SoleOwner, Vote
from adpkv.core.values import Outcome

BATCH = object()


def test_a_sole_owner_acts_at_once_and_has_nothing_to_say() -> None:
    owner = SoleOwner()
    assert not owner.defer(1, Outcome.COMPLETED, "")
    assert owner.may_free(1, quiescent=True)
    assert not owner.may_free(1, quiescent=False)
    owner.acted(1)
    assert owner.votes == ()
    assert (owner.answers, owner.sender(3), owner.compared(BATCH)) == (True, 3, None)


def test_a_replica_says_until_it_has_acted() -> None:
    owner = Replica(1)
    assert owner.defer(7, Outcome.COMPLETED, "")
    assert owner.defer(4, Outcome.FAILED, "why")
    said = owner.votes
    assert said == (Vote(7, Outcome.COMPLETED), Vote(4, Outcome.FAILED, "why"))
    owner.defer(4, Outcome.FAILED, "why")
    assert owner.votes is said, "the same again is nothing new"
    owner.acted(7)
    owner.acted(7)
    assert owner.votes == (Vote(4, Outcome.FAILED, "why"),)


def test_a_replica_never_lets_go_alone() -> None:
    owner = Replica(0)
    owner.defer(7, Outcome.COMPLETED, "")
    assert not owner.may_free(7, quiescent=False)
    assert owner.votes == (), "it has ended: that it was complete here no longer counts"
    assert not owner.may_free(7, quiescent=True)
    assert owner.votes == (Vote(7),)


def test_each_replica_has_its_place() -> None:
    first, third = Replica(0), Replica(2)
    assert (first.answers, third.answers) == (True, False)
    assert (first.sender(4), third.sender(4)) == (4, 6)
    assert third.compared(BATCH) is BATCH


def test_who_comes_to_lead_answers() -> None:
    for owner in (SoleOwner(), Replica(2)):
        owner.lead()
        assert owner.answers
