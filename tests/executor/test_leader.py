"""The leader: the instance's messages in and out, and how long nobody's requests wait."""

from __future__ import annotations

import msgspec
import pytest
from executor_parts import Clock, Post, spec

from adpkv.core.ids import COORDINATOR, NEVER
from adpkv.core.plan import Plan, Refusal
from adpkv.core.rank_status import RankStatus
from adpkv.core.stop import StopReason
from adpkv.core.values import Outcome, RequestSpec, Response
from adpkv.core.waiting import Waiting
from adpkv.executor.broadcast import failed_ranks
from adpkv.executor.collectives import CollectiveCounts
from adpkv.executor.leader import BROADCAST_IDS, Leader, sum_up, unhealthy_ranks
from adpkv.executor.messages import (
    MOST_UNHEALTHY,
    PAYLOADS,
    Admit,
    Answers,
    Began,
    Cancel,
    CancelTransfer,
    LeaderMessage,
    Pulse,
    Release,
    Shrink,
    Stop,
    Stopped,
    UnhealthyRank,
)
from adpkv.worlds.mpi.slots import PayloadCodec

DONE, ILL = StopReason(0), StopReason(75, "ill", ("no_progress",))
ASKED, LOST = StopReason(130, "a signal"), StopReason(5, "lost")
QUEUE_NS = 100


class Rig:
    """A leader with a mailbox and a clock that the test holds."""

    def __init__(self, pulse_ns: int = 0) -> None:
        self.post, self.clock = Post(), Clock()
        self.leader = Leader(7, self.post, self.clock, queue_timeout_ns=QUEUE_NS, pulse_ns=pulse_ns)


@pytest.fixture
def rig() -> Rig:
    return Rig()


def said(request_id: int = 1, tokens: int = 0) -> Response:
    return Response(request_id, 0, Outcome.COMPLETED, 0, tokens=tokens)


def queued(*specs: RequestSpec) -> Plan:
    return Plan(waiting=Waiting(specs))


def no_pulse(tokens: int) -> Pulse:
    raise AssertionError("nobody asked for a pulse")


def test_messages_is_parted_for_the_group_and_for_its_own_sessions(rig: Rig) -> None:
    group, own = [Admit(spec(1)), Cancel(2), Stop(DONE), Release()], Began(4, 0)
    rig.post.inbox = [group[0], own, *group[1:]]
    assert rig.leader.take_messages() == (tuple(group), [own])
    assert rig.leader.take_messages() == ((), [])


def test_a_burst_of_long_prompts_goes_on_in_parts_and_in_order(rig: Rig) -> None:
    hashes = tuple(range(7_500))
    messages: list[LeaderMessage] = [Admit(spec(r, hashes=hashes)) for r in range(260)]
    messages += [Cancel(0), Stop(DONE)]
    rig.post.inbox = [*messages, Began(4, 0)]
    got: list[LeaderMessage] = []
    parts = 0
    codec = PayloadCodec(PAYLOADS)
    while parts == 0 or rig.leader.has_more():
        part, own = rig.leader.take_messages()
        assert own == ([Began(4, 0)] if parts == 0 else [])
        assert sum(len(m.spec.block_hashes) for m in part if isinstance(m, Admit)) <= BROADCAST_IDS
        codec.encode("tp_broadcast", part)
        got += part
        parts += 1
    assert got == messages
    assert parts == 33
    assert rig.leader.take_messages() == ((), [])


def test_what_is_kept_goes_before_what_came_later(rig: Rig) -> None:
    first, second = (Admit(spec(r, hashes=range(BROADCAST_IDS))) for r in (1, 2))
    rig.post.inbox = [first, second]
    assert rig.leader.take_messages() == ((first,), [])  # larger than the bound, and alone
    rig.post.inbox = [Cancel(2)]
    assert rig.leader.take_messages() == ((second,), [])
    assert rig.leader.take_messages() == ((Cancel(2),), [])


def test_what_tells_of_failed_ranks_comes_first_and_each_rank_finds_it(rig: Rig) -> None:
    """Each rank of a large group looks: so it looks no further than it must."""
    one, two = Shrink((5,)), Shrink((5, 6))
    rig.post.inbox = [Admit(spec(1)), one, Cancel(1), two, Admit(spec(2))]
    group, _ = rig.leader.take_messages()
    assert group == (one, two, Admit(spec(1)), Cancel(1), Admit(spec(2)))
    assert failed_ranks(group) == {5, 6}
    assert failed_ranks((Admit(spec(1)),)) == set()


# -- requests that nobody owns -----------------------------------------------------------------


def test_the_wait_of_an_unowned_request_counts_from_when_it_was_first_seen(rig: Rig) -> None:
    assert rig.leader.next_expiry_ns() == NEVER
    rig.clock.now_ns = 10
    rig.leader.note_unowned(queued(spec(1)), [Admit(spec(1))])
    rig.clock.now_ns = 50
    rig.leader.note_unowned(queued(spec(1), spec(2)), [Cancel(9), Admit(spec(2))])
    assert rig.leader.next_expiry_ns() == 10 + QUEUE_NS
    assert rig.leader.expired(10 + QUEUE_NS - 1) == ()
    assert rig.leader.expired(10 + QUEUE_NS) == ((1, 0),)
    assert rig.leader.expired(50 + QUEUE_NS) == ((1, 0), (2, 0))


def test_the_wait_counts_from_the_arrival_and_goes_on_on_a_rank(rig: Rig) -> None:
    """It counted anew where a rank had got the request: twice the limit in all."""
    rig.clock.now_ns = 40
    rig.leader.note_unowned(queued(spec(1)), [Admit(spec(1), 30)])
    rig.leader.note_unowned(Plan(assignments={1: (spec(1),)}), ())
    assert rig.leader.next_expiry_ns() == 10 + QUEUE_NS
    assert rig.leader.expired(10 + QUEUE_NS) == ((1, 0),)
    rig.leader.note_unowned(Plan(expired=((1, 0),)), ())
    assert (rig.leader.expired(10**9), rig.leader.next_expiry_ns()) == ((), NEVER), "said once"


@pytest.mark.parametrize(
    "plan",
    [
        Plan(assignments={1: (spec(1),)}),
        Plan(refusals=(Refusal(1, 0, Outcome.CANCELLED, ""),)),
    ],
    ids=["an answer", "an end"],
)
def test_who_found_an_answer_or_an_end_does_not_expire(rig: Rig, plan: Plan) -> None:
    rig.leader.note_unowned(queued(spec(1)), [Admit(spec(1))])
    rig.leader.note_unowned(plan, ())
    if plan.assignments:
        rig.leader.answer(((said(1),),), no_pulse)
    assert rig.leader.next_expiry_ns() == NEVER
    assert rig.leader.expired(10**9) == ()


def test_a_successor_learns_how_long_what_it_leads_has_waited(rig: Rig) -> None:
    """Of the coordinator, in durations: its own clock and its predecessor's have nothing in
    common. That is for those who still wait, and for those who have a rank by now."""
    rig.clock.now_ns = 1000
    rig.leader.take_over(queued(spec(1), spec(2), spec(4)))
    assert rig.leader.next_expiry_ns() == 1000 + QUEUE_NS
    rig.clock.now_ns = 1010
    asking = Shrink((5,), ((2, 0), (3, 0), (1, 0)), (30, 90, 70))
    rig.leader.note_unowned(queued(spec(1), spec(2), spec(4)), [asking])
    assert rig.leader.next_expiry_ns() == 1010 - 90 + QUEUE_NS, "3 may wait on its rank"
    assert rig.leader.expired(1010 - 30 + QUEUE_NS) == ((3, 0), (1, 0), (2, 0))
    rig.clock.now_ns = 1040
    ended = msgspec.structs.replace(said(3), spent=(25, 15))
    rig.leader.answer(((ended, said(4)),), no_pulse)
    [(_, answers)] = rig.post.taken()
    assert isinstance(answers, Answers)
    assert [response.spent for response in answers.responses] == [(25 + 80, 15), ()]


def test_who_leads_from_the_start_knows_better(rig: Rig) -> None:
    rig.leader.note_unowned(queued(spec(1)), [Admit(spec(1)), Shrink((5,), ((1, 0),), (70,))])
    assert rig.leader.next_expiry_ns() == QUEUE_NS


def test_a_refused_request_is_answered_and_its_sender_let_go(rig: Rig) -> None:
    refusals = (
        Refusal(1, 0, Outcome.FAILED, "too long"),
        Refusal(2, 4, Outcome.TIMED_OUT, "no room", 5),
    )
    found = rig.leader.refusals(Plan(refusals=refusals), rank=3)
    assert [(r.request_id, r.attempt, r.outcome, r.rank, r.detail) for r in found] == [
        (1, 0, Outcome.FAILED, 3, "too long"),
        (2, 4, Outcome.TIMED_OUT, 3, "no room"),
    ]
    assert rig.post.taken() == [(5, CancelTransfer(2, 4))]


# -- what goes out -----------------------------------------------------------------------------


def test_what_a_flush_gathered_leaves_in_rank_order(rig: Rig) -> None:
    rig.leader.answer(((), (said(3),), (), (said(1), said(2))), no_pulse)
    assert rig.post.taken() == [(COORDINATOR, Answers(7, (said(3), said(1), said(2)), None))]


def test_an_empty_flush_says_nothing(rig: Rig) -> None:
    rig.leader.answer(((), ()), no_pulse)
    assert rig.post.sent == []


def test_a_pulse_is_due_now_and_then() -> None:
    rig = Rig(pulse_ns=10)
    seen: list[int] = []

    def pulse(tokens: int) -> Pulse:
        seen.append(tokens)
        return Pulse(tokens=tokens)

    for now_ns, gathered in ((0, ()), (5, ()), (9, (said(tokens=4),)), (10, (said(tokens=3),))):
        rig.clock.now_ns = now_ns
        rig.leader.answer((gathered,), pulse)
    assert seen == [0, 7], "of all tokens so far"
    pulses = [m.pulse for _, m in rig.post.taken() if isinstance(m, Answers)]
    assert pulses == [Pulse(tokens=0), None, Pulse(tokens=7)]


@pytest.mark.parametrize("drained", [[True] * 2, [False] * 2 + [True] * 2])
def test_the_stop_is_announced_once_and_once_that_all_is_drained(
    rig: Rig, drained: list[bool]
) -> None:
    rig.post.inbox = [Stop(ILL)]
    rig.leader.take_messages()
    for now in drained:
        statuses = [RankStatus(), RankStatus(drained=now)]
        rig.leader.announce_stop(ILL, statuses)
    words = [Stopped(7, ILL, now) for now in dict.fromkeys(drained)]
    assert rig.post.taken() == [(COORDINATOR, word) for word in words]


def test_who_has_not_taken_the_coordinators_stop_is_not_drained(rig: Rig) -> None:
    """A request may be on its way, and its answer is to come before that message."""
    for inbox in ([], [], [Stop(ILL)]):
        rig.post.inbox = list(inbox)
        rig.leader.take_messages()
        rig.leader.announce_stop(ILL, [RankStatus(drained=True)])
    words = [Stopped(7, ILL, drained) for drained in (False, True)]
    assert rig.post.taken() == [(COORDINATOR, word) for word in words]


def test_a_pulse_sums_its_ranks_up() -> None:
    statuses = {
        8: RankStatus(running=2, requests=5, in_transfer=1, quarantined=1),
        9: RankStatus(running=1, requests=1, in_transfer=1, reasons=("no_progress",)),
        10: RankStatus(reused=(2, 640)),
        11: RankStatus(reused=(1, 64)),
    }
    pulse = sum_up(statuses, 4, 99, 5, CollectiveCounts(17, 3_000, 0))
    assert pulse == Pulse(
        running=3,
        waiting=4 + 2,
        in_transfer=2,
        quarantined=1,
        unhealthy=(UnhealthyRank(9, ("no_progress",)),),
        tokens=99,
        iterations=5,
        collectives=17,
        collectives_ns=3_000,
        transfers_cached=3,
        bytes_cached=704,
    )
    assert not pulse.healthy


def test_a_pulse_names_no_more_ill_ranks_than_one_can_read() -> None:
    sick = unhealthy_ranks(
        (rank, ("no_progress",) if rank % 2 else ()) for rank in range(4 * MOST_UNHEALTHY)
    )
    assert [unhealthy.rank for unhealthy in sick] == list(range(1, 2 * MOST_UNHEALTHY, 2))
