"""The rules' defaults are the contract, and a policy may replace each by itself."""

from __future__ import annotations

from dataclasses import replace

from core_parts import WAIT_NS, at_state, limits, receiver, session

from adpkv.core import cancel, health
from adpkv.core.cancel import TransferCancelResult
from adpkv.core.ids import NEVER
from adpkv.core.rules import Rules
from adpkv.core.session import TABLES, Session, State


def test_the_defaults_are_the_contract() -> None:
    rules = Rules()
    assert rules.tables is TABLES
    assert rules.cancel_answer is cancel.cancel_answer
    assert rules.may_release is cancel.may_release
    assert rules.unhealthy_reasons is health.unhealthy_reasons


def test_the_deadline_counts_from_the_start_of_the_transfer() -> None:
    made = session()
    made.started_ns = 70
    assert Rules().deadline_anchor_ns(made) == NEVER, "advertised, and its sender is queued"
    made.began_ns = 77
    assert Rules().deadline_anchor_ns(made) == 77


def test_a_word_is_for_one_attempt_of_an_id() -> None:
    assert Rules().same_attempt(session(), 0)
    assert not Rules().same_attempt(session(), 1)


def test_another_anchor_is_another_deadline() -> None:
    """The field's old rule: anchored at admission, so that a wait in the queue is a timeout."""

    def admitted(made: Session) -> int:
        return made.waited_ns

    ends = receiver(limits(total=1), replace(Rules(), deadline_anchor_ns=admitted))
    made = at_state(ends, State.QUEUED)
    ends.start(WAIT_NS)
    ends.expire(WAIT_NS)
    assert made.state is State.QUARANTINED


def test_another_answer_and_another_release_are_used() -> None:
    answer = TransferCancelResult.NOT_CANCELLABLE
    ends = receiver(
        rules=replace(Rules(), cancel_answer=lambda *_: answer, may_release=lambda _: True)
    )
    at_state(ends, State.ADVERTISED)
    assert ends.cancel_request_structured(1, 0) is answer
    assert ends.cancel_request(1, 0)
