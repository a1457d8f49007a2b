"""The coordinator, driven messages by messages: who gets what, one answer each, and how a job
ends."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import pytest
from executor_parts import Clock, Notes, Post

from adpkv.core.ids import NEVER
from adpkv.core.record import RequestRecord
from adpkv.core.stop import StopReason
from adpkv.core.topology import Topology
from adpkv.core.values import Outcome, Response, SenderRef
from adpkv.executor.collectives import Receive
from adpkv.executor.coordinator import Coordinator
from adpkv.executor.messages import (
    Admit,
    Answers,
    Cancel,
    Message,
    Pulse,
    Release,
    Stop,
    Stopped,
)
from adpkv.workload.port import Arrival

STOP_NS = 1000
CONTEXT, GENERATION = (0, 1), (2, 3)  # instances; their leaders are ranks 0, 2, 4, 6
LEADERS = (0, 2, 4, 6)
RANKS = range(8)


class Arrivals:
    """A workload that is a list."""

    def __init__(self, arrivals: list[Arrival]) -> None:
        self._left = list(arrivals)
        self.total = len(arrivals)
        self.ends: list[int] = []

    def due_ns(self) -> int:
        return self._left[0].at_ns if self._left else NEVER

    def take(self) -> Arrival:
        return self._left.pop(0)

    def ended(self, now_ns: int, number: int) -> None:
        self.ends.append(now_ns)


class Rig:
    """A coordinator over two instances of each kind, two ranks each."""

    def __init__(self, *arrivals: Arrival, shrinks: bool = False, recompute: bool = False) -> None:
        self.clock, self.post, self.notes = Clock(), Post(), Notes()
        self.workload = Arrivals(list(arrivals))
        self.records: list[RequestRecord] = []
        self.pulses: list[tuple[int, Pulse]] = []
        self.coordinator = Coordinator(
            Topology.of(context=(2, 2), generation=(2, 2)),
            self.workload,
            clock=self.clock,
            mailbox=self.post,
            recorder=self.notes,
            on_record=self.records.append,
            on_pulse=lambda instance, pulse: self.pulses.append((instance, pulse)),
            stop_timeout_ns=STOP_NS,
            shrinks=shrinks,
            recompute=recompute,
        )
        self._program: Coroutine[Receive, Any, None] = self.coordinator.run()
        self.over = False
        self.wake_ns = self._next(None)

    def _next(self, messages: list[Message] | None) -> int:
        try:
            return self._program.send(messages).until_ns
        except StopIteration:
            self.over = True
            return NEVER

    def at(self, now_ns: int, *messages: Message) -> list[tuple[int, Message]]:
        """Time is `now_ns` and this messages are here; what it sends."""
        self.clock.now_ns = now_ns
        self.wake_ns = self._next(list(messages))
        return self.post.taken()

    def stopped(self, now_ns: int, *instances: int, code: int = 0) -> list[tuple[int, Message]]:
        return self.at(now_ns, *(Stopped(i, StopReason(code), drained=True) for i in instances))

    @property
    def ends(self) -> list[tuple[int, Outcome]]:
        return [(record.request_id, record.outcome) for record in self.records]


def arrival(at_ns: int = 0, prompt: int = 10, output: int = 5, cancel_ns: int = -1) -> Arrival:
    return Arrival(at_ns, prompt, output, cancel_ns=cancel_ns)


def prefilled(request_id: int = 0, instance: int = 0) -> Answers:
    ref = SenderRef(instance * 2, (1,))
    response = Response(request_id, 0, Outcome.PREFILLED, instance * 2, sender=ref, spent=(3, 4))
    return Answers(instance, (response,))


def ended(request_id: int = 0, outcome: Outcome = Outcome.COMPLETED, instance: int = 2) -> Answers:
    spent = (4, 0, 0, 7, 1, 9)
    response = Response(request_id, 0, outcome, 5, spent=spent, tokens=5)
    return Answers(instance, (response,))


def kinds(sent: list[tuple[int, Message]]) -> list[tuple[int, str]]:
    return [(to, type(message).__name__) for to, message in sent]


def test_a_request_goes_to_context_then_generation_then_to_its_record() -> None:
    rig = Rig(arrival(at_ns=5))
    assert rig.wake_ns == 5
    assert kinds(rig.at(5)) == [(0, "Admit")]
    [(to, admit)] = rig.at(20, prefilled())
    assert isinstance(admit, Admit)
    assert (to, admit.spec.sender) == (4, SenderRef(0, (1,)))
    sent = rig.at(90, ended())
    assert kinds(sent) == [(leader, "Stop") for leader in LEADERS]
    [record] = rig.records
    assert (record.arrival_ns, record.first_token_ns, record.ended_ns) == (5, 80, 90)
    assert (record.context_instance, record.generation_instance) == (0, 2)
    assert (record.context_rank, record.generation_rank) == (0, 5)
    on_the_way = (20 - 5 - 3 - 4) + (90 - 20 - 4 - 7 - 1 - 9)
    assert record.columns() == (0, 3, 4, on_the_way, 4, 0, 0, 7, 1, 9, 0)
    assert record.tokens == 5
    assert rig.workload.ends == [90]


def test_the_end_waits_for_every_instance_then_releases_all() -> None:
    rig = Rig(arrival())
    rig.at(0)
    rig.at(1, prefilled())
    rig.at(2, ended())
    assert rig.stopped(3, 0, 1, 2) == []
    assert not rig.over
    sent = rig.stopped(4, 3)
    assert sent == [(rank, Release()) for rank in RANKS]
    assert rig.over
    assert rig.notes.violations == []


def test_the_instance_with_the_least_open_tokens_is_chosen() -> None:
    rig = Rig(arrival(prompt=100), arrival(prompt=10), arrival(prompt=10), arrival(prompt=90))
    assert [to for to, _ in rig.at(0)] == [0, 2, 2, 2]
    first = rig.at(1, prefilled(0), prefilled(1, instance=1), prefilled(2, instance=1))
    assert [to for to, _ in first] == [4, 6, 6]


def test_what_an_instance_is_done_with_weighs_no_more() -> None:
    rig = Rig(arrival(prompt=100), arrival(at_ns=5), arrival(at_ns=20), arrival(at_ns=30))
    rig.at(0)
    assert kinds(rig.at(5)) == [(2, "Admit")]
    rig.at(10, prefilled(0))
    assert kinds(rig.at(20)) == [(0, "Admit")], "its prompt is with the generation instance"
    rig.at(25, ended(0), prefilled(2))
    assert [to for to, _ in rig.at(26, prefilled(1, instance=1))] == [4], "equal ones take turns"


def test_one_token_only_ends_where_it_was_prefilled() -> None:
    rig = Rig(arrival(output=1))
    rig.at(0)
    rig.at(9, Answers(0, (Response(0, 0, Outcome.COMPLETED, 1, spent=(2, 5), tokens=1),)))
    [record] = rig.records
    assert (record.outcome, record.generation_instance, record.first_token_ns) == (
        Outcome.COMPLETED,
        -1,
        9,
    )


# -- cancels -----------------------------------------------------------------------------------


def test_a_cancel_in_prefill_is_sent_to_the_context_instance() -> None:
    rig = Rig(arrival(cancel_ns=7))
    rig.at(0)
    assert rig.wake_ns == 7
    assert rig.at(7) == [(0, Cancel(0))]
    rig.at(9, ended(outcome=Outcome.CANCELLED, instance=0))
    assert rig.ends == [(0, Outcome.CANCELLED)]
    assert rig.records[0].cancelled_ns == 7


def test_a_cancel_that_crosses_the_hand_over_ends_between_the_instances() -> None:
    rig = Rig(arrival(cancel_ns=7), arrival(at_ns=10**6))
    rig.at(0)
    rig.at(7)
    assert rig.at(8, prefilled()) == [], "no generation instance hears of it"
    assert rig.ends == [(0, Outcome.CANCELLED)]


def test_a_cancel_in_decode_is_sent_to_the_generation_instance() -> None:
    rig = Rig(arrival(cancel_ns=7))
    rig.at(0)
    rig.at(3, prefilled())
    assert rig.at(7) == [(4, Cancel(0))]
    rig.at(9, ended())
    assert rig.ends == [(0, Outcome.COMPLETED)], "it was done before the cancel came"


def test_a_cancel_of_what_is_over_is_nothing() -> None:
    rig = Rig(arrival(cancel_ns=7), arrival(at_ns=100))
    rig.at(0)
    rig.at(3, ended(instance=0))
    assert rig.at(7) == []


# -- broken contracts --------------------------------------------------------------------------


def test_two_terminal_responses_are_a_violation() -> None:
    rig = Rig(arrival(), arrival(at_ns=100))
    rig.at(0)
    rig.at(1, prefilled())
    rig.at(2, ended(), ended())
    assert [v.kind for v in rig.notes.violations] == ["two_terminal_responses"]
    assert rig.ends == [(0, Outcome.COMPLETED)]


def test_an_impossible_response_is_a_violation() -> None:
    rig = Rig(arrival())
    rig.at(0)
    rig.at(1, prefilled())
    assert rig.at(2, prefilled()) == []
    assert [v.kind for v in rig.notes.violations] == ["impossible_response"]


def test_a_request_without_an_answer_is_a_violation_and_nobody_waits_for_ever() -> None:
    rig = Rig(arrival())
    rig.at(0)
    rig.stopped(10, 0, 1, 2, 3, code=75)
    assert rig.wake_ns == 10 + STOP_NS
    sent = rig.at(10 + STOP_NS)
    assert rig.over
    assert rig.ends == [(0, Outcome.FAILED)]
    assert [v.kind for v in rig.notes.violations] == ["no_terminal_response"]
    assert {m.reason.code for _, m in sent if isinstance(m, Release)} == {4}


# -- an instance that stops --------------------------------------------------------------------


def test_an_instance_that_stops_ends_the_job() -> None:
    """Contract 6.2: the stop is spread, nothing new is admitted, and who has it answers."""
    rig = Rig(arrival(), arrival(at_ns=500))
    rig.at(0)
    assert rig.coordinator.ending == ""
    sent = rig.at(10, Stopped(1, StopReason(75, "ill")))
    assert rig.coordinator.ending == "ill"
    # To that one too: behind all that was on its way to it.
    assert sent == [(leader, Stop(StopReason(75, "ill"))) for leader in LEADERS]
    assert rig.at(500) == []
    rig.at(510, ended(outcome=Outcome.FAILED, instance=0))
    assert rig.stopped(520, 0, 2, 3) == [], "nor may anybody leave whom instance 1 may still ask"
    sent = rig.at(530, Stopped(1, StopReason(75, "ill"), drained=True))
    assert sent == [(rank, Release(StopReason(75, "ill"))) for rank in RANKS]
    assert rig.ends == [(0, Outcome.FAILED)]
    assert rig.over


def test_what_a_stop_crosses_on_its_way_is_failed() -> None:
    rig = Rig(arrival(), arrival(at_ns=500))
    rig.at(0)
    rig.at(10, Stopped(1, StopReason(75, "ill")))
    assert rig.at(11, prefilled()) == []
    assert [(r.outcome, r.detail) for r in rig.records] == [(Outcome.FAILED, "ill")]


@pytest.mark.parametrize(("codes", "wins"), [((75, 130), 75), ((130, 75), 75), ((0, 5), 5)])
def test_the_worst_code_wins(codes: tuple[int, int], wins: int) -> None:
    rig = Rig(arrival(at_ns=500))
    rig.stopped(10, 0, code=codes[0])
    rig.stopped(11, 1, code=codes[1])
    sent = rig.stopped(12, 2, 3)
    assert {m.reason.code for _, m in sent if isinstance(m, Release)} == {wins}


def test_a_late_prefill_after_the_end_is_no_violation() -> None:
    rig = Rig(arrival(cancel_ns=5))
    rig.at(0)
    rig.at(5)
    rig.at(6, ended(outcome=Outcome.CANCELLED, instance=0))
    rig.at(7, prefilled())
    assert rig.notes.violations == []


def test_how_an_instance_is_doing_is_passed_on() -> None:
    rig = Rig(arrival())
    rig.at(0, Answers(3, (), Pulse(running=2)))
    assert rig.pulses == [(3, Pulse(running=2))]


def test_what_is_open_when_everybody_has_left_is_recorded_and_a_violation() -> None:
    """Ranks that gave the coordinator up: their clients hear it all the same, once."""
    rig = Rig(arrival())
    rig.at(0)
    for _ in range(2):
        rig.coordinator.close()
    (record,) = rig.records
    assert (record.outcome, record.detail) == (Outcome.FAILED, "no instance answered")
    assert [violation.kind for violation in rig.notes.violations] == ["no_terminal_response"]
    assert rig.workload.ends == [0]
