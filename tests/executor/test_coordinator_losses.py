"""The coordinator when ranks fail: it asks what is missing, and answers for it, or has it computed
again."""

from __future__ import annotations

import pytest
from test_coordinator import STOP_NS, Rig, arrival, ended, kinds, prefilled

from adpkv.core.stop import StopReason
from adpkv.core.values import Cause, Outcome, Response, SenderRef
from adpkv.executor.messages import Admit, Answers, Cancel, Missing, RankFailed, Shrink, Stop

LEADERS = (0, 2, 4, 6)
GONE = "rank 5 (generation-2) has failed"


def lost(rank: int, leader: int) -> RankFailed:
    kind = "context" if rank < 4 else "generation"
    return RankFailed(rank // 2, rank, leader, f"rank {rank} ({kind}-{rank // 2}) has failed")


def answered(
    outcome: Outcome,
    detail: str,
    attempt: int = 0,
    cause: Cause = Cause.OTHER,
    instance: int = 2,
) -> Answers:
    return Answers(instance, (Response(0, attempt, outcome, 4, detail, cause=cause),))


def decoding(*, recompute: bool = False, cancel_ns: int = -1) -> Rig:
    """One request, which generation instance 2 has; its KV came from rank 0."""
    rig = Rig(arrival(cancel_ns=cancel_ns), shrinks=True, recompute=recompute)
    rig.at(0)
    rig.at(1, prefilled())
    return rig


def test_everybody_hears_of_a_failure_and_its_instance_is_asked() -> None:
    rig = decoding()
    sent = rig.at(2, lost(5, 4))
    assert sent == [
        (to, Shrink((5,), ((0, 0),), (1,)) if to == 4 else Shrink((5,))) for to in LEADERS
    ]
    sent = rig.at(3, lost(2, 3))
    assert sent == [(to, Shrink((5, 2))) for to in (0, 3, 4, 6)], (
        "all the failed ranks, to the new leader"
    )
    assert rig.coordinator.failed == {5, 2}


def test_what_is_missing_fails_and_its_kv_is_let_go() -> None:
    rig = decoding()
    rig.at(2, lost(5, 4))
    sent = rig.at(3, Missing(2, ((0, 0),)))
    assert sent[0] == (0, Cancel(0))
    assert [(r.outcome, r.detail, r.responses) for r in rig.records] == [(Outcome.FAILED, GONE, 0)]
    assert rig.records[0].lost_attempts_ns == 2, "nobody answers for it since it went there"


def test_what_is_missing_is_computed_again_as_another_attempt() -> None:
    rig = decoding(recompute=True)
    rig.at(2, lost(5, 4))
    sent = rig.at(3, Missing(2, ((0, 0),)))
    assert kinds(sent) == [(0, "Cancel"), (2, "Admit")], "equal context instances take turns"
    admit = sent[1][1]
    assert isinstance(admit, Admit)
    assert (admit.spec.request_id, admit.spec.attempt, admit.spec.sender) == (0, 1, None)
    assert rig.at(4, Missing(2, ((0, 0),))) == [], "its earlier attempt"
    again = Response(0, 1, Outcome.PREFILLED, 1, sender=SenderRef(1, (1,)))
    assert kinds(rig.at(5, Answers(1, (again,)))) == [(6, "Admit")]
    rig.at(6, answered(Outcome.COMPLETED, "", attempt=1, instance=3))
    [record] = rig.records
    assert (record.outcome, record.recomputed, record.context_rank) == (Outcome.COMPLETED, 1, 1)
    assert sum(record.columns()) == 6
    assert record.lost_attempts_ns == 3, "what the earlier attempt took is lost with it"


@pytest.mark.parametrize("first", ["answer", "loss"])
def test_what_was_answered_before_is_not_missed(first: str) -> None:
    rig = decoding(recompute=True)
    rig.at(2, lost(5, 4))
    messages = [ended(), Missing(2, ((0, 0),))]
    assert "Admit" not in [kind for _, kind in kinds(rig.at(3, *messages))]
    assert rig.ends == [(0, Outcome.COMPLETED)]
    assert rig.notes.violations == []


def test_what_went_on_to_another_instance_is_not_missed_where_it_was() -> None:
    rig = Rig(arrival(), shrinks=True, recompute=True)
    rig.at(0)
    assert rig.at(1, lost(1, 0))[0] == (0, Shrink((1,), ((0, 0),), (1,)))
    sent = rig.at(2, prefilled(), Missing(0, ((0, 0),)))
    assert kinds(sent) == [(4, "Admit")]


@pytest.mark.parametrize("known", [True, False])
def test_whose_kv_failed_is_computed_again_whoever_says_so_first(known: bool) -> None:
    rig = decoding(recompute=True)
    if known:
        rig.at(2, lost(0, 1))
    said = answered(Outcome.FAILED, "", cause=Cause.OTHER if known else Cause.PEER_LOST)
    assert "Admit" in [kind for _, kind in kinds(rig.at(3, said))]
    assert rig.records == []


def test_a_failure_of_its_own_is_not_computed_again() -> None:
    rig = decoding(recompute=True)
    rig.at(2, lost(5, 4))
    rig.at(3, answered(Outcome.FAILED, "the other end of its transfer is gone"))
    assert rig.ends == [(0, Outcome.FAILED)], "whatever the words are"


def test_nothing_is_computed_again_for_who_has_cancelled() -> None:
    rig = decoding(recompute=True, cancel_ns=2)
    assert rig.at(2) == [(4, Cancel(0))]
    sent = rig.at(3, lost(4, 5))
    assert sent[0] == (5, Cancel(0)), "the failed leader may not have passed it on"
    rig.at(4, Missing(2, ((0, 0),)))
    assert rig.ends == [(0, Outcome.CANCELLED)]


def test_a_stop_that_went_with_its_leader_is_said_again() -> None:
    rig = decoding()
    rig.stopped(2, 0, code=75)
    sent = rig.at(3, lost(4, 5))
    assert sent[0] == (5, Stop(StopReason(75)))
    rig.at(4, Missing(2, ((0, 0),)))
    assert rig.ends == [(0, Outcome.FAILED)]


def test_an_instance_without_ranks_gets_nothing_any_more() -> None:
    rig = Rig(arrival(), arrival(at_ns=5), shrinks=True, recompute=True)
    rig.at(0)
    rig.at(1, prefilled())
    rig.at(2, lost(5, 4))
    sent = rig.at(3, lost(4, -1))
    assert kinds(sent)[:2] == [(0, "Cancel"), (2, "Admit")], "at once: nobody is left to ask"
    assert 4 not in [to for to, _ in sent]
    again = Response(0, 1, Outcome.PREFILLED, 1, sender=SenderRef(1, (1,)))
    assert kinds(rig.at(4, Answers(0, (again,)))) == [(6, "Admit")]


@pytest.mark.parametrize("shrinks", [True, False])
def test_the_last_instance_of_its_kind_ends_the_job(shrinks: bool) -> None:
    rig = Rig(arrival(), shrinks=shrinks)
    rig.at(0)
    rig.at(1, prefilled())
    failed = [lost(5, 4), lost(4, -1)] + ([lost(7, 6), lost(6, -1)] if shrinks else [])
    sent = rig.at(2, *failed)
    assert [to for to, message in sent if isinstance(message, Stop) and message.reason.code == 5][
        :2
    ] == [
        0,
        2,
    ]
    assert rig.ends == [(0, Outcome.FAILED)]
    rest = (0, 1) if shrinks else (0, 1, 3)
    assert {kind for _, kind in kinds(rig.stopped(3, *rest))} == {"Release"}
    assert rig.over
    assert rig.notes.violations == []


def test_who_never_says_what_is_missing_is_not_waited_for_for_ever() -> None:
    rig = decoding()
    rig.at(2, lost(5, 4))
    rig.stopped(3, 0, 1, 2, 3, code=75)
    rig.at(3 + STOP_NS)
    assert rig.over
    assert [violation.kind for violation in rig.notes.violations] == ["no_terminal_response"]
