"""The transfers: orders become calls and messages, messages become events."""

from __future__ import annotations

from dataclasses import replace

import pytest
from executor_parts import Post, context, generation, spec, stepped

from adpkv.core.rules import Rules
from adpkv.core.session import State
from adpkv.core.slots import SlotLimits, SlotQueue
from adpkv.core.values import Cause
from adpkv.executor.messages import (
    Advertise,
    Began,
    CancelTransfer,
    Ended,
    NeverStarted,
    PeerMessage,
    Queued,
)
from adpkv.executor.serving import Serving
from adpkv.executor.transfers import UNKNOWN_PIECES, Transfers
from adpkv.transport.port import EndKind, Transfer, TransportEnd


class Link:
    """A transport that writes down what it is asked, and ends what the test says."""

    name, proofs, can_withdraw = "link", (), True

    def __init__(self) -> None:
        self.calls: list[tuple[str, object]] = []
        self.ends: list[TransportEnd] = []
        self.refuses = False
        self.failed: set[int] = set()

    def expect(self, transfer: Transfer) -> bool:
        self.calls.append(("expect", transfer))
        return not self.refuses

    def has_failed(self, rank: int) -> bool:
        return rank in self.failed

    def post(self, transfer: Transfer) -> None:
        self.calls.append(("post", transfer))

    def withdraw(self, session: object) -> None:
        self.calls.append(("withdraw", session))

    def peer_ended(self, session: object, pieces: int) -> None:
        self.calls.append(("peer_ended", (session, pieces)))

    def poll(self) -> list[TransportEnd]:
        ends, self.ends = self.ends, []
        return ends

    def ready(self) -> bool:
        return bool(self.ends)

    def last_moved_ns(self) -> int:
        return 0

    def close(self) -> None: ...


class Rig:
    """Rank 3 with one request whose session waits for a peer."""

    def __init__(self, serving: Serving) -> None:
        self.serving, self.link, self.post = serving, Link(), Post()
        self.ends = serving.transceiver
        self.transfers = Transfers(3, self.ends, self.link, self.post, serving)
        serving.assign(spec(1), 0)
        serving.admit(0)

    def go(self, now_ns: int = 0) -> None:
        self.ends.start(now_ns)
        self.serving.decisions.resolve(now_ns)
        self.transfers.deliver()

    def on_peer_message(self, message: PeerMessage, now_ns: int = 1) -> None:
        self.transfers.on_peer_message(message, now_ns)
        self.go(now_ns)

    def end(self, kind: EndKind, pieces: int = 0, now_ns: int = 2) -> None:
        self.link.ends.append(TransportEnd((1, 0), kind, 0, pieces))  # type: ignore[arg-type]
        self.transfers.ended(self.link.poll())
        self.ends.check_transfer_status(now_ns)
        self.go(now_ns)

    @property
    def state(self) -> State:
        session = self.serving.requests[1].session
        assert session is not None
        return session.state

    def words(self) -> list[PeerMessage]:
        return [message for _, message in self.post.taken()]  # type: ignore[misc]


@pytest.fixture
def receiving() -> Rig:
    return Rig(generation())


@pytest.fixture
def sending() -> Rig:
    rig = Rig(context())
    rig.serving.batch(0)
    stepped(rig.serving, 1, 0)
    return rig


ASK = Advertise(1, 0, 9, 40, (7, 8, 2))


def test_a_receiver_expects_before_it_advertises(receiving: Rig) -> None:
    receiving.go(10)
    session = receiving.serving.requests[1].session
    assert session is not None
    [(call, transfer)] = receiving.link.calls
    assert call == "expect"
    assert isinstance(transfer, Transfer)
    assert (transfer.sender, transfer.receiver) == (0, 3)
    assert (transfer.source, transfer.target) == (session.peer_blocks, session.blocks)
    assert receiving.post.taken() == [(0, Advertise(1, 0, 3, 0, session.blocks))]


def test_a_sender_posts_and_says_that_it_began(sending: Rig) -> None:
    sending.on_peer_message(ASK)
    [(call, transfer)] = sending.link.calls
    assert call == "post"
    assert isinstance(transfer, Transfer)
    assert (transfer.sender, transfer.receiver, transfer.tag) == (3, 9, 40)
    assert transfer.target == (7, 8, 2)
    assert sending.post.taken() == [(9, Began(1, 0))]


def test_a_sender_without_a_slot_says_so_and_again_when_it_is_asked_again(sending: Rig) -> None:
    sending.ends._slots = SlotQueue(SlotLimits(0, 0, 0))
    for _ in range(2):
        sending.on_peer_message(ASK)
    assert sending.post.taken() == [(9, Queued(1, 0))] * 2
    assert sending.link.calls == []


def test_an_advertise_said_again_is_answered_as_the_first_one_was(sending: Rig) -> None:
    for _ in range(2):
        sending.on_peer_message(ASK)
    assert sending.words() == [Began(1, 0)] * 2
    assert len(sending.link.calls) == 1, "posted once"
    sending.end(EndKind.DONE, pieces=4)
    sending.on_peer_message(ASK)
    assert sending.words() == [Ended(1, 0, 4, "it is over")]


def test_a_receiver_says_again_what_nobody_answers(receiving: Rig) -> None:
    receiving.go(0)
    [first] = receiving.words()
    receiving.ends.expire(1000)
    receiving.go(1000)
    assert receiving.words() == [first]
    assert [call for call, _ in receiving.link.calls] == ["expect"]


def test_a_queue_there_is_heard_of(receiving: Rig) -> None:
    receiving.go()
    receiving.on_peer_message(Queued(1, 0))
    assert receiving.state is State.PEER_QUEUED
    receiving.ends.expire(5001)
    receiving.go(5001)
    [answer] = receiving.serving.responses.take()
    assert answer.detail == "its sender had no slot for it for too long"


def test_an_advertise_for_nobody_never_started(sending: Rig) -> None:
    sending.on_peer_message(Advertise(55, 0, 9, 1, (0,)))
    assert sending.post.taken() == [
        (9, NeverStarted(55, 0, "the sender has no such session")),
    ]


def test_a_cancel_is_told_to_the_sender(receiving: Rig) -> None:
    receiving.go()
    receiving.words()
    receiving.serving.cancel(1, 1)
    receiving.go(1)
    assert receiving.words() == [CancelTransfer(1, 0, 3)]


def test_a_cancel_in_flight_withdraws_and_its_end_is_told_with_what_was_posted(
    sending: Rig,
) -> None:
    sending.on_peer_message(ASK)
    sending.words()
    sending.on_peer_message(CancelTransfer(1, 0))
    assert sending.link.calls[-1] == ("withdraw", (1, 0))
    sending.end(EndKind.FAILED, pieces=2)
    assert sending.words() == [Ended(1, 0, 2, State.RELEASED)]


def test_an_error_without_proof_says_that_it_cannot_say(sending: Rig) -> None:
    sending.on_peer_message(ASK)
    sending.words()
    sending.end(EndKind.ERROR)
    assert sending.words() == [Ended(1, 0, UNKNOWN_PIECES, State.QUARANTINED)]
    sending.end(EndKind.FAILED, pieces=1)
    assert sending.words() == [Ended(1, 0, 1, State.RELEASED)], "and the proof, when it comes"


def test_a_cancel_before_anybody_asked_tells_nobody(sending: Rig) -> None:
    sending.on_peer_message(CancelTransfer(1, 0))
    assert sending.words() == []


def test_a_cancel_behind_a_lost_advertise_is_answered(sending: Rig) -> None:
    """The receiver exposed its blocks, and waits for a message about them."""
    sending.on_peer_message(CancelTransfer(1, 0, 9))
    assert sending.post.taken() == [(9, NeverStarted(1, 0, State.CANCELLED))]


@pytest.mark.parametrize(
    ("posted", "answer"),
    [(True, Ended(1, 0, 2, "it is over")), (False, NeverStarted(1, 0, "nothing was posted"))],
)
def test_who_asks_about_a_session_that_is_over_is_told_again(
    sending: Rig, posted: bool, answer: PeerMessage
) -> None:
    if posted:
        sending.on_peer_message(ASK)
        sending.end(EndKind.FAILED, pieces=2)
    else:
        sending.on_peer_message(CancelTransfer(1, 0))
    sending.words()
    for _ in range(2):
        sending.on_peer_message(CancelTransfer(1, 0, 9), 4)
    assert sending.post.taken() == [(9, answer)] * 2
    sending.on_peer_message(CancelTransfer(1, 0), 4)
    assert sending.words() == [], "nobody waits"
    sending.on_peer_message(CancelTransfer(1, 5, 9), 4)
    assert sending.words() == [NeverStarted(1, 5, "nothing was posted")], "of that life"


def test_a_receiver_that_missed_the_end_asks_at_its_deadline_and_gets_its_blocks_back(
    sending: Rig, receiving: Rig
) -> None:
    """As over NIXL, where only the notice of the end was lost: each byte has landed."""
    receiving.go()
    receiving.on_peer_message(Began(1, 0))
    sending.on_peer_message(ASK)
    sending.end(EndKind.DONE, pieces=3)
    receiving.words(), sending.words()
    late = 3_600_000_000_000
    receiving.ends.expire(late)
    receiving.go(late)
    assert receiving.state is State.QUARANTINED
    [question] = receiving.words()
    assert question == CancelTransfer(1, 0, 3)
    sending.on_peer_message(question, late)
    [answer] = sending.words()
    receiving.on_peer_message(answer, late)
    assert receiving.link.calls[-1] == ("peer_ended", ((1, 0), 3))
    receiving.end(EndKind.DONE, now_ns=late)
    assert receiving.state is State.RELEASED


def test_a_word_moves_a_receiver(receiving: Rig) -> None:
    receiving.go()
    receiving.on_peer_message(Began(1, 0))
    assert receiving.state is State.TRANSFERRING


@pytest.mark.parametrize(("word", "pieces"), [(Ended(1, 0, 3), 3), (NeverStarted(1, 0, "gone"), 0)])
def test_a_senders_end_is_for_the_transport_to_judge(
    receiving: Rig, word: PeerMessage, pieces: int
) -> None:
    """A message can overtake bytes: it is not proof by itself (contract 2.5)."""
    receiving.go()
    receiving.on_peer_message(word)
    assert receiving.link.calls[-1] == ("peer_ended", ((1, 0), pieces))
    assert receiving.state is State.ADVERTISED


def test_a_sender_that_cannot_say_is_an_error_without_proof(receiving: Rig) -> None:
    receiving.go()
    receiving.on_peer_message(Ended(1, 0, UNKNOWN_PIECES))
    assert receiving.state is State.QUARANTINED


@pytest.mark.parametrize(
    "word",
    [
        Began(1, 5),
        Queued(1, 5),
        CancelTransfer(1, 5),
        Ended(1, 5, UNKNOWN_PIECES),
        Ended(1, 5, 3),
        NeverStarted(1, 5),
        Began(77, 0),
    ],
)
def test_a_message_about_an_earlier_attempt_is_dropped(receiving: Rig, word: PeerMessage) -> None:
    receiving.go()
    receiving.on_peer_message(word)
    assert receiving.state is State.ADVERTISED
    assert receiving.ends.book.counts().late == 1
    assert [call for call, _ in receiving.link.calls] == ["expect"], "it reached no transport"


def test_a_policy_may_take_any_generation_for_this_one() -> None:
    """Whoever ignores generations takes a message about the former owner for proof about this
    one."""
    receiving = Rig(generation(rules=replace(Rules(), same_attempt=lambda *_: True)))
    receiving.go()
    receiving.on_peer_message(NeverStarted(1, 5))
    assert receiving.link.calls[-1] == ("peer_ended", ((1, 0), 0))


def test_refused_blocks_are_told_to_nobody(receiving: Rig) -> None:
    receiving.link.refuses = True
    receiving.go()
    assert receiving.words() == [CancelTransfer(1, 0)], "the sender need not keep its own"
    receiving.ends.check_transfer_status(1)
    receiving.go(1)
    assert 1 not in receiving.serving.requests, "proven ended: the blocks are back"
    assert receiving.words() == []


def test_blocks_that_are_refused_as_the_sender_has_failed_say_so(receiving: Rig) -> None:
    """The rank that is told so may be the first to know."""
    receiving.link.refuses, receiving.link.failed = True, {receiving.ends.book.sessions[1].peer}
    receiving.go()
    receiving.ends.check_transfer_status(1)
    receiving.go(1)
    assert 1 not in receiving.serving.requests
    assert [answer.cause for answer in receiving.serving.responses.staged] == [Cause.PEER_LOST]


def test_a_lost_connection_is_in_doubt_until_its_end(receiving: Rig) -> None:
    receiving.go()
    receiving.words()
    receiving.end(EndKind.LOST)
    assert receiving.state is State.QUARANTINED
    assert receiving.words() == []
    receiving.end(EndKind.FAILED, now_ns=3)
    receiving.serving.retry_pending(3)
    assert 1 not in receiving.serving.requests


def test_the_advertise_of_a_rank_that_has_failed_meanwhile_is_not_posted(sending: Rig) -> None:
    sending.link.failed = {9}
    sending.on_peer_message(Advertise(1, 0, 9, 0, (1, 2, 3)))
    assert 1 not in sending.serving.requests, "nobody will fetch it: its blocks are free"
    assert (sending.link.calls, sending.words()) == ([], [])


def test_what_waits_for_a_slot_is_not_posted_to_a_rank_that_has_failed(sending: Rig) -> None:
    sending.transfers.on_peer_message(Advertise(1, 0, 9, 0, (1, 2, 3)), 1)
    sending.link.failed = {9}
    sending.go(1)
    assert (sending.link.calls, sending.words()) == ([], [])
    sending.ends.check_transfer_status(2)
    sending.go(2)
    sending.serving.retry_pending(2)
    assert 1 not in sending.serving.requests, "as nothing was posted, it is proven over"
