"""How long posting over NIXL may hold up an iteration, and who is told when all has landed: over a
stand-in for the library, whose posts take time on a clock of their own."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from adpkv.transport.nixl import NixlTransport
from adpkv.transport.nixl_pace import LEAST, PAUSE_NS, WRITE_NS, Pace
from adpkv.transport.nixl_writes import NOTICE, NOTICE_EVERY
from adpkv.transport.port import EndKind
from adpkv.transport.posting import NO_LIMIT
from tests.transport.nixl_stub import (
    BUDGET_NS,
    LOST,
    Library,
    scattered,
    transport,
)

ABOUT = 1.03
"""What a write costs besides its descriptors is not the same everywhere, and is not measured."""


class Rig:
    """The transport, and how long each of its calls took."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **words: Any) -> None:
        self.library = Library()
        self.transport: NixlTransport = transport(monkeypatch, self.library, **words)
        self.took_ns: list[int] = []
        self.ends: list[EndKind] = []

    def ended(self) -> list[EndKind]:
        """A poll; the ends that it reports."""
        self.ends = [end.kind for end in self.transport.poll()]
        return self.ends

    def call(self, call: Callable[[], object]) -> None:
        began_ns, posted = self.library.now_ns, len(self.library.writes)
        call()
        self.took_ns.append(self.library.now_ns - began_ns)
        self.writes = [one.descriptors for one in self.library.writes[posted:]]

    def whole(self, number: int, blocks: int) -> list[list[int]]:
        """In a new iteration, post a transfer and poll until it is posted; the descriptors of each
        call's writes."""
        self.transport.poll()
        found, before = [], sum(one.descriptors for one in self.library.writes)
        self.call(lambda: self.transport.post(scattered(number, blocks)))
        found.append(self.writes)
        while sum(one.descriptors for one in self.library.writes) < before + blocks:
            self.call(self.ended)
            assert self.writes, "each poll posts something"
            found.append(self.writes)
        return found


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Rig:
    return Rig(monkeypatch)


@pytest.mark.parametrize("each_ns", [1_000, 3_000, 5_500, 9_000, 14_000])
def test_no_call_posts_for_longer_than_the_limit(rig: Rig, each_ns: int) -> None:
    """Whatever a descriptor costs, once that is known; and few polls are needed."""
    rig.library.post_ns = lambda descriptors: 10_000 + each_ns * descriptors
    for number in range(4):
        rig.whole(number, 64)  # it learns
    rig.took_ns.clear()
    calls = [rig.whole(number, 512) for number in range(4, 8)]
    assert max(rig.took_ns) <= ABOUT * BUDGET_NS
    ideal = -(-512 * each_ns // BUDGET_NS)
    assert max(map(len, calls)) <= max(1.25 * ideal + 1, -(-512 // 64))


def test_what_a_descriptor_costs_is_learned_within_a_few_writes(rig: Rig) -> None:
    rig.whole(1, 512)
    rig.library.post_ns = lambda descriptors: 10_000 + 10_000 * descriptors
    rig.took_ns.clear()
    rig.whole(2, 512)
    over = [took_ns > ABOUT * BUDGET_NS for took_ns in rig.took_ns]
    assert any(over[:2]), "it cost half as much before"
    assert not any(over[4:])


def test_one_slow_post_changes_little(rig: Rig) -> None:
    """Another process had the core."""
    rig.whole(1, 512)
    before = rig.whole(2, 512)
    cost, rig.library.post_ns = rig.library.post_ns, lambda _: 20_000_000
    rig.whole(3, 30)
    rig.library.post_ns = cost
    rig.library.now_ns -= 20_000_000  # no pause follows
    assert len(rig.whole(4, 512)) <= len(before) + 2


def test_the_first_write_after_a_pause_is_measured_apart(rig: Rig) -> None:
    """Its code has left the caches, so it has fewer descriptors."""

    def post_ns(descriptors: int) -> int:
        return 10_000 + descriptors * (20_000 if cold[0] else 4_000)

    cold, rig.library.post_ns = [True], post_ns
    for number in range(9):
        rig.transport.poll()
        rig.library.now_ns += PAUSE_NS
        cold[0] = True
        rig.call(lambda number=number: rig.transport.post(scattered(number, 256)))  # type: ignore[misc]
        first = rig.writes
        cold[0] = False
        while sum(one.descriptors for one in rig.library.writes) < 256 * (number + 1):
            rig.call(rig.ended)
    assert LEAST <= first[0] <= 10
    assert max(rig.took_ns[-5:]) <= ABOUT * BUDGET_NS
    warm = rig.whole(10, 256)
    assert warm[0][0] > 35


def test_a_second_write_is_posted_if_it_fits(rig: Rig) -> None:
    """Of two transfers; the second has to wait where the first has used up the time."""
    rig.whole(1, 512)
    rig.library.end()
    rig.transport.poll()
    rig.call(lambda: rig.transport.post(scattered(2, 10)))
    assert rig.writes == [10]
    rig.call(lambda: rig.transport.post(scattered(3, 10, receiver=2)))
    assert rig.writes == [10], "what the first took is known"
    rig.call(lambda: rig.transport.post(scattered(4, 64)))
    assert len(rig.writes) <= 1
    rig.call(lambda: rig.transport.post(scattered(5, 64, receiver=2)))
    assert rig.writes == []
    assert sum(rig.took_ns[-4:]) <= BUDGET_NS, "the limit is between two polls"
    rig.call(rig.transport.poll)
    assert rig.writes, "time may be spent again"


def test_peers_are_served_in_turn_where_the_time_ends_a_poll(rig: Rig) -> None:
    """A receiver's deadline runs as soon as its transfer has begun."""
    transfers = [scattered(receiver, 1_000, receiver=receiver) for receiver in (1, 2)]
    for transfer in transfers:
        rig.transport.post(transfer)
    for _ in range(12):
        rig.library.end()
        rig.transport.poll()
    first, second = (rig.transport._sending[transfer.session].posted for transfer in transfers)
    assert first > 0
    assert 0.5 < second / first < 1.5


def test_nothing_is_measured_without_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(monkeypatch, post_ns=NO_LIMIT, most=50)
    rig.library.post_ns = lambda _: 10_000_000
    assert rig.whole(1, 120) == [[50], [50], [20]]
    pace = Pace(rig.library.clock, NO_LIMIT, 7)
    assert [pace.room(rest) for rest in (3, 7, 9)] == [3, 7, 7]


def test_the_same_costs_give_the_same_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    def run() -> list[list[int]]:
        rig = Rig(monkeypatch)
        rig.library.post_ns = lambda descriptors: 7_000 + 5_500 * descriptors
        return [calls for number in range(3) for calls in rig.whole(number, 200)]

    assert run() == run()


def test_what_a_poll_does_before_it_posts_counts(rig: Rig) -> None:
    rig.whole(1, 512)
    pace = rig.transport._pace
    pace.renew()
    pace.enter()
    whole = pace.room(512)
    rig.library.now_ns += BUDGET_NS - WRITE_NS
    assert pace.room(512) == LEAST < whole, "something always moves"


def test_what_a_poll_does_before_a_fence_has_passed_counts_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The transfer waits for this rank's own writes, and the poll in which it may be posted has
    looked at others before."""
    work = SimpleNamespace(done=True)
    rig = Rig(monkeypatch, written=lambda: SimpleNamespace(passed=lambda: work.done))
    rig.whole(1, 512)
    rig.library.end()
    rig.transport.poll()
    rig.transport.post(scattered(2, 8))
    work.done = False
    rig.transport.post(scattered(3, 512))
    work.done = True
    rig.library.state_ns = BUDGET_NS // 4
    rig.library.now_ns += 2 * BUDGET_NS  # what lies between two polls does not count
    rig.call(rig.transport.poll)
    assert rig.writes[0] > LEAST
    assert rig.took_ns[-1] <= ABOUT * BUDGET_NS


def test_what_a_poll_posts_counts_for_what_comes_after_it(rig: Rig) -> None:
    rig.whole(1, 512)
    rig.transport.post(scattered(2, 512))
    rig.call(rig.transport.poll)
    assert rig.writes
    rig.call(lambda: rig.transport.post(scattered(3, 64, receiver=2)))
    assert rig.writes == []


# -- who is told ---------------------------------------------------------------------------------


def test_a_transfer_of_one_write_takes_its_notice_along(rig: Rig) -> None:
    rig.transport.post(scattered(7, 3))
    assert [one.notice for one in rig.library.writes] == [NOTICE.pack(7, True)]
    assert rig.ended() == []
    rig.library.end()
    assert rig.ended() == [EndKind.DONE]
    assert rig.library.told == []


def test_the_receiver_is_told_when_every_write_is_done(rig: Rig) -> None:
    """In whatever order they end: the library orders nothing between them."""
    writes = [one for call in rig.whole(7, 128) for one in call]
    assert len(writes) > 2
    assert {one.notice for one in rig.library.writes} == {b""}
    last = len(writes) - 1
    rig.library.end(*range(1, last + 1))
    assert rig.ended() == []
    assert rig.library.told == [], "the first write is still on its way"
    rig.library.end(0)
    assert rig.ended() == [EndKind.DONE]
    assert rig.library.told == [NOTICE.pack(7, True)]
    assert len(rig.library.released) == len(writes)


def test_every_sixteenth_write_says_that_something_moves(rig: Rig) -> None:
    rig.whole(7, 640)
    notices = [one.notice for one in rig.library.writes]
    told = [at for at, notice in enumerate(notices) if notice]
    assert told == list(range(NOTICE_EVERY - 1, len(notices), NOTICE_EVERY)) != []
    assert set(notices) == {b"", NOTICE.pack(7, False)}


def test_the_notice_goes_with_the_last_write_if_the_others_have_ended(rig: Rig) -> None:
    rig.library.at_once = True
    writes = [one for call in rig.whole(7, 128) for one in call]
    notices = [one.notice for one in rig.library.writes]
    assert notices == [b""] * (len(writes) - 1) + [NOTICE.pack(7, True)]
    assert rig.ends == [EndKind.DONE], "in the poll that has posted it"
    assert rig.library.told == []


def test_a_withdrawn_transfer_tells_nobody_and_says_how_far_it_came(rig: Rig) -> None:
    rig.transport.post(scattered(7, 256))
    posted = sum(one.descriptors for one in rig.library.writes)
    assert 0 < posted < 256
    rig.transport.withdraw(scattered(7, 256).session)
    rig.library.end()
    [end] = rig.transport.poll()
    assert (end.kind, end.pieces) == (EndKind.FAILED, posted)
    assert rig.library.told == []


def test_a_connection_that_is_lost_as_the_receiver_is_told_leaves_no_doubt(rig: Rig) -> None:
    """Each write was DONE. The receiver asks at its deadline, and is told how far it came."""
    rig.whole(7, 128)
    rig.library.end()
    rig.library.lost = True
    [end] = rig.transport.poll()
    assert (end.kind, end.pieces) == (EndKind.DONE, 128)
    assert rig.library.told == []
    rig.transport.handle_peer_failure([1])
    assert rig.ended() == [], "it is over"
    rig.transport.expect(scattered(8, 128))
    rig.transport.peer_ended(scattered(8, 128).session, end.pieces)
    assert rig.ended() == [EndKind.DONE]


def test_a_connection_that_is_lost_in_the_middle_ends_when_all_agree(rig: Rig) -> None:
    rig.whole(7, 128)
    rig.library.writes[0].state = LOST
    assert rig.ended() == [EndKind.LOST]
    rig.transport.handle_peer_failure([1])
    assert rig.ended() == [EndKind.FAILED]
    assert not rig.transport.is_drained(), "the others are followed to their ends"
    rig.library.end(*range(1, len(rig.library.writes)))
    assert rig.transport.is_drained()


def test_who_only_sends_does_not_ask_for_notices(rig: Rig) -> None:
    """To ask for a write's state makes progress too."""
    rig.transport.poll()
    assert rig.library.asked_for_notices == 1
    rig.transport.post(scattered(7, 3))
    rig.transport.poll()
    assert rig.library.asked_for_notices == 1
    rig.transport.expect(scattered(8, 2))
    rig.library.notices = {"peer": [NOTICE.pack(8, False), NOTICE.pack(8, True)]}
    assert rig.ended() == [EndKind.DONE]


def test_a_receiver_counts_blocks(rig: Rig) -> None:
    for number, blocks, kind in ((1, 2, EndKind.FAILED), (2, 3, EndKind.DONE)):
        rig.transport.expect(scattered(number, 3))
        rig.transport.peer_ended(scattered(number, 3).session, blocks)
        assert rig.ended() == [kind]
