"""Faults on the messages: what each makes of a message, and in which order things leave."""

from __future__ import annotations

from typing import Any

import pytest

from adpkv.config import parse
from adpkv.config.fault_kinds import MESSAGE_PHASES, Seam
from adpkv.core.ids import COORDINATOR
from adpkv.core.stop import StopReason
from adpkv.executor.messages import (
    Advertise,
    Began,
    Cached,
    CancelTransfer,
    Ended,
    Message,
    NeverStarted,
    PeerMessage,
    Queued,
    Stopped,
    Unpacked,
)
from adpkv.faults.injector import Injector, armed
from adpkv.faults.mailbox import MANY_CHUNKS, PHASES, FaultyMailbox
from tests.scenarios.story import setting


class Inner:
    """A mailbox that notes what leaves, and when."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.left: list[tuple[int, int, Message]] = []

    def clock(self) -> int:
        return self.now_ns

    def send(self, to: int, message: Message) -> None:
        self.left.append((self.now_ns, to, message))

    def receive(self) -> list[Message]:
        return []

    def ready(self) -> bool:
        return False


class Rig:
    """A rank's mailbox with faults."""

    def __init__(self, *faults: dict[str, Any]) -> None:
        self.inner = Inner()
        self.wakes: list[int] = []
        self.noted: list[tuple[int, str, str]] = []
        experiment = parse(setting("messages", 2, 2, faults=list(faults)), "messages")
        self.box = FaultyMailbox(
            self.inner,
            Injector(armed(experiment, 0), experiment.seed, Seam.MESSAGES),
            clock=self.inner.clock,
            wake=self.wakes.append,
            note=lambda *said: self.noted.append(said),
        )

    def send(self, *messages: Message, to: int = 2) -> None:
        for message in messages:
            self.box.send(to, message)

    def at(self, now_ns: int) -> list[Message]:
        """Look into the mailbox at this time: what has left by then."""
        self.inner.now_ns = now_ns
        assert list(self.box.receive()) == []
        return [message for *_, message in self.inner.left]


BEGAN, ENDED = Began(3, 1), Ended(3, 1, 2)
EVERY: tuple[PeerMessage, ...] = (
    Advertise(3, 1, 2, 9, (4,)),
    Cached(3, 1),
    Queued(3, 1),
    BEGAN,
    ENDED,
    NeverStarted(3, 1, "no"),
    CancelTransfer(3, 1),
    Unpacked(3, 1, 2),
)


def test_every_message_about_a_session_has_a_phase() -> None:
    assert [PHASES[type(message)] for message in EVERY] == list(MESSAGE_PHASES)


@pytest.mark.parametrize("message", EVERY, ids=lambda message: type(message).__name__)
def test_a_fault_without_a_phase_fits_each(message: PeerMessage) -> None:
    rig = Rig({"kind": "lose"})
    rig.send(message)
    assert rig.at(0) == []
    assert rig.noted == [(3, "lose", PHASES[type(message)])]


def test_what_does_not_fit_goes_as_it_is() -> None:
    rig = Rig({"kind": "lose", "phase": "began", "peers": [2], "requests": [3]})
    others: list[Message] = [ENDED, Began(4, 1)]
    rig.send(*others)
    rig.send(BEGAN, to=3)
    rig.send(Stopped(0, StopReason(0)), to=COORDINATOR)
    rig.send(BEGAN)
    assert rig.at(0) == [*others, BEGAN, Stopped(0, StopReason(0))]


def test_a_duplicate_comes_right_behind() -> None:
    rig = Rig({"kind": "duplicate", "phase": "began"})
    rig.send(BEGAN, ENDED)
    assert rig.at(0) == [BEGAN, BEGAN, ENDED]


@pytest.mark.parametrize("message", EVERY, ids=lambda message: type(message).__name__)
def test_the_former_owners_last_message_follows_the_real_one(message: PeerMessage) -> None:
    rig = Rig({"kind": "former_owner"})
    rig.send(message)
    asks = isinstance(message, Advertise | Cached | CancelTransfer)
    last = CancelTransfer(3, 0) if asks else Ended(3, 0, 0, "of the id's former owner")
    if isinstance(message, Unpacked):
        last = Unpacked(3, 0, MANY_CHUNKS)
    assert rig.at(0) == [message, last]


def test_who_is_late_keeps_the_others_behind() -> None:
    rig = Rig({"kind": "late", "phase": "began", "duration": "10ns"})
    rig.send(BEGAN, ENDED)
    rig.send(ENDED, to=3)
    assert rig.at(9) == [ENDED], "to another rank"
    assert rig.wakes == [10, 10]
    assert rig.at(10) == [ENDED, BEGAN, ENDED]
    rig.send(Ended(5, 0, 0))
    assert rig.at(10)[-1] == Ended(5, 0, 0), "nothing is held any more"


def test_the_next_overtakes() -> None:
    rig = Rig({"kind": "reorder", "phase": "began", "duration": "10ns"})
    rig.send(BEGAN)
    assert rig.at(4) == []
    rig.send(ENDED)
    assert rig.at(4) == [ENDED, BEGAN]


def test_nobody_waits_longer_to_be_overtaken() -> None:
    rig = Rig({"kind": "reorder", "phase": "began", "duration": "10ns"})
    rig.send(BEGAN)
    assert rig.wakes == [10]
    assert rig.at(10) == [BEGAN]


def test_who_is_later_overtakes_nobody() -> None:
    rig = Rig(
        {"kind": "reorder", "phase": "began", "duration": "10ns"},
        {"kind": "late", "phase": "ended", "duration": "30ns"},
    )
    rig.send(BEGAN, ENDED)
    assert rig.at(10) == [BEGAN]
    assert rig.at(30) == [BEGAN, ENDED]


def test_one_overtakes_behind_who_is_late() -> None:
    rig = Rig(
        {"kind": "late", "phase": "advertise", "duration": "20ns"},
        {"kind": "reorder", "phase": "began", "duration": "30ns"},
    )
    advertise = EVERY[0]
    rig.send(advertise, BEGAN, ENDED)
    assert rig.at(19) == []
    assert rig.at(20) == [advertise, ENDED, BEGAN]


def test_asking_whether_there_is_messages_lets_go_too() -> None:
    """A rank that waits in the real world asks nothing else."""
    rig = Rig({"kind": "late", "duration": "10ns"})
    rig.send(BEGAN)
    rig.inner.now_ns = 10
    assert not rig.box.ready()
    assert rig.inner.left == [(10, 2, BEGAN)]
