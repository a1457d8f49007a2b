"""A failed rank on the virtual link: its peers hear of it, have proof after a latency, and nothing
is written that nobody awaits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random

import pytest

from adpkv.core.ids import NEVER
from adpkv.memory.virtual import LedgerMemory
from adpkv.transport.port import EndKind, Proof, Transfer
from adpkv.transport.virtual import Network, VirtualTransport
from tests.conformance.test_virtual_transport import Time

DONE, FAILED, LOST = EndKind.DONE, EndKind.FAILED, EndKind.LOST
BLOCK_BYTES, BLOCK_NS, LATENCY_NS = 1024, 1000, 10
BEGAN_NS = 1
LANDED_NS = BEGAN_NS + BLOCK_NS + LATENCY_NS
"""When a block is there that had the link for itself."""
FAILS_NS = 500
FENCED_NS = FAILS_NS + LATENCY_NS
LONG_NS = 100_000

Seen = tuple[int, int, EndKind]
"""(when, which request, how it ended)."""


class Ledger(LedgerMemory):
    """Also remembers when something was written."""

    def __init__(self, time: Time, complaints: list[str]) -> None:
        super().__init__(64, 16, BLOCK_BYTES, lambda *said: complaints.append(str(said)))
        self.writes: list[tuple[int, bool]] = []
        self._time = time

    def land(self, owner: int, blocks: Sequence[int], *, whole: bool) -> None:
        self.writes.append((self._time.now_ns, whole))
        super().land(owner, blocks, whole=whole)


class Clocked(Time):
    """Also remembers who was woken."""

    def __init__(self) -> None:
        super().__init__()
        self.woken: list[int] = []

    def arrival(self, rank: int) -> None:
        self.woken.append(rank)


class Links:
    """Senders 0 and 1, receivers 2 and 3, and the time between them. Request n is block n."""

    def __init__(self) -> None:
        self.time = Clocked()
        self.complaints: list[str] = []
        self.network = Network(4, LATENCY_NS, BLOCK_BYTES * 10**9 // BLOCK_NS, self.time)
        self.memories = [Ledger(self.time, self.complaints) for _ in range(4)]
        self.ends: list[VirtualTransport] = [
            self.network.end(rank, memory) for rank, memory in enumerate(self.memories)
        ]
        self.seen: list[list[Seen]] = [[] for _ in self.ends]
        self._open: dict[tuple[int, int], Transfer] = {}

    def expect(self, request: int, sender: int, receiver: int) -> Transfer | None:
        """The transfer, if the receiver's end takes it."""
        link = Transfer(request, 0, sender, receiver, request, (request,), (request,), BLOCK_BYTES)
        self.memories[receiver].expect_write(request + 1, link.target)
        if not self.ends[receiver].expect(link):
            self.memories[receiver].end_write(request + 1, link.target)
            return None
        self._open[receiver, request] = link
        return link

    def begin(self, request: int, sender: int = 0, receiver: int = 2) -> Transfer:
        link = self.expect(request, sender, receiver)
        assert link is not None
        self.ends[sender].post(link)
        return link

    def run(self, until_ns: int) -> None:
        """Let time pass; everybody polls whenever something has happened."""
        while self.time.due_ns() <= until_ns:
            self.time.step()
            self.poll()
        self.time.run(until_ns)
        self.poll()

    def poll(self) -> None:
        for rank, end in enumerate(self.ends):
            for said in end.poll():
                self.seen[rank].append((self.time.now_ns, said.session[0], said.kind))
                link = self._open.get((rank, said.session[0]))
                if link is not None and said.kind is not LOST:
                    # Proven: the blocks go to somebody else, and a later write is a violation.
                    self.memories[rank].end_write(link.request_id + 1, link.target)

    def handle_peer_failure(self, *ranks: int) -> None:
        for rank in ranks:
            self.network.handle_peer_failure(rank)
        self.poll()


@pytest.fixture
def links() -> Links:
    return Links()


def kinds(seen: Iterable[Seen], request: int) -> list[EndKind]:
    return [kind for _, which, kind in seen if which == request]


def test_the_peers_failure_is_a_proof_of_this_link(links: Links) -> None:
    assert Proof.PEER_FAILED in links.ends[0].proofs


def test_what_a_failed_sender_was_writing_is_cut_off(links: Links) -> None:
    links.begin(0)
    links.run(FAILS_NS)
    links.handle_peer_failure(0)
    links.run(LONG_NS)
    assert links.seen[2] == [(FAILS_NS, 0, LOST), (FENCED_NS, 0, FAILED)]
    assert links.memories[2].writes == [(FENCED_NS, False)], "what was under way, before the proof"
    assert links.complaints == []


def test_what_a_failed_sender_had_not_begun_never_comes(links: Links) -> None:
    links.expect(0, 0, 2)
    links.run(FAILS_NS)
    links.handle_peer_failure(0)
    links.run(LONG_NS)
    assert links.seen[2] == [(FAILS_NS, 0, LOST), (FENCED_NS, 0, FAILED)]
    assert links.memories[2].writes == []


def test_what_a_failed_sender_had_sent_whole_is_done(links: Links) -> None:
    links.begin(0)
    links.run(LANDED_NS - 5)
    links.handle_peer_failure(0)
    links.run(LONG_NS)
    assert links.seen[2] == [(LANDED_NS - 5, 0, LOST), (LANDED_NS, 0, DONE)]
    assert links.memories[2].writes == [(LANDED_NS, True)]


def test_what_it_had_withdrawn_ends_without_its_word(links: Links) -> None:
    link = links.begin(0)
    links.run(FAILS_NS)
    links.ends[0].withdraw(link.session)
    links.handle_peer_failure(0)
    links.run(LONG_NS)
    assert links.seen[2] == [(FAILS_NS, 0, LOST), (FENCED_NS, 0, FAILED)]
    assert links.memories[2].writes == [(FENCED_NS, False)]
    assert links.complaints == []


def test_its_last_message_may_still_come(links: Links) -> None:
    link = links.expect(0, 0, 2)
    assert link is not None
    links.handle_peer_failure(0)
    links.ends[2].peer_ended(link.session, 0)
    links.run(LONG_NS)
    assert kinds(links.seen[2], 0) == [LOST, FAILED], "one end"


def test_who_writes_to_a_failed_rank_hears_of_it_and_has_the_link_for_others(links: Links) -> None:
    links.begin(0, receiver=2)
    links.begin(1, receiver=3)
    links.run(FAILS_NS)
    links.handle_peer_failure(2)
    assert links.time.woken[-1] == 0
    links.run(LONG_NS)
    # Half the link for each up to then: the other one has a quarter behind it.
    other_ns = LANDED_NS + (FAILS_NS - BEGAN_NS + 1) // 2
    assert links.seen[0] == [(FAILS_NS, 0, LOST), (FENCED_NS, 0, FAILED), (other_ns, 1, DONE)]
    assert links.memories[2].writes == []


def test_what_was_sent_whole_to_a_failed_rank_was_read(links: Links) -> None:
    links.begin(0)
    links.run(LANDED_NS - 5)
    links.handle_peer_failure(2)
    links.run(LONG_NS)
    assert links.seen[0] == [(LANDED_NS, 0, DONE)]
    assert links.memories[2].writes == []


def test_what_was_withdrawn_ends_though_its_receiver_failed(links: Links) -> None:
    link = links.begin(0)
    links.run(FAILS_NS)
    links.ends[0].withdraw(link.session)
    links.handle_peer_failure(2)
    links.run(LONG_NS)
    assert links.seen[0] == [(FENCED_NS, 0, FAILED)]
    assert links.memories[2].writes == []


def test_nobody_is_waited_for_who_has_failed(links: Links) -> None:
    links.handle_peer_failure(0)
    assert links.expect(0, 0, 2) is None
    links.run(LONG_NS)
    assert links.seen[2] == []


def test_a_write_to_the_failed_ends_by_itself(links: Links) -> None:
    link = links.expect(0, 0, 2)
    assert link is not None
    links.handle_peer_failure(2)
    links.ends[0].post(link)
    assert not links.ends[0].ready()
    links.run(LONG_NS)
    assert links.seen[0] == [(BEGAN_NS + 1, 0, FAILED)]
    assert links.time.woken == [0]
    assert links.memories[2].writes == []


@pytest.mark.parametrize("order", [(0, 2), (2, 0)])
def test_between_two_failed_ranks_nothing_moves(links: Links, order: tuple[int, int]) -> None:
    links.begin(0)
    links.run(FAILS_NS)
    links.handle_peer_failure(order[0])
    links.handle_peer_failure(order[1])
    links.run(LONG_NS)
    assert kinds(links.seen[order[1]], 0) in ([], [LOST]), "while it lived"
    assert links.memories[2].writes == []


def test_others_are_left_alone(links: Links) -> None:
    links.begin(0, 0, 2)
    links.begin(1, 1, 3)
    links.run(FAILS_NS)
    links.handle_peer_failure(0)
    links.run(LONG_NS)
    assert links.seen[1] == links.seen[3] == [(LANDED_NS, 1, DONE)]


def test_the_link_of_a_failed_rank_does_not_move(links: Links) -> None:
    links.begin(0)
    links.run(FAILS_NS)
    links.handle_peer_failure(0)
    links.run(LONG_NS)
    assert links.ends[2].last_moved_ns() == FAILS_NS
    assert links.time.due_ns() == NEVER


@pytest.mark.parametrize("seed", range(60))
def test_whoever_fails_when(seed: int) -> None:
    """Whatever was open with a failed rank is lost first, if at all, then ended once; what was not
    open with one is done, or withdrawn; nothing lands in what was proven quiet or has failed."""
    draw, links = Random(seed), Links()
    failed: dict[int, int] = {}
    taken: list[Transfer] = []
    posted, withdrawn = set(), set()
    for request in range(30):
        links.run(links.time.now_ns + draw.choice((0, 1, 7, 300, 1000)))
        sender, receiver = draw.choice((0, 1)), draw.choice((2, 3))
        link = None if receiver in failed else links.expect(request, sender, receiver)
        assert (link is None) is bool(failed.keys() & {sender, receiver})
        if link is not None:
            taken.append(link)
        for link in taken:
            if link.request_id not in posted and link.sender not in failed and draw.random() < 0.4:
                posted.add(link.request_id)
                links.ends[link.sender].post(link)
        if taken and draw.random() < 0.2:
            link = draw.choice(taken)
            if link.request_id in posted and link.sender not in failed:
                withdrawn.add(link.request_id)
                links.ends[link.sender].withdraw(link.session)
        if draw.random() < 0.06:
            rank = draw.randrange(4)
            if rank not in failed:
                failed[rank] = links.time.now_ns
                links.handle_peer_failure(rank)
    links.run(links.time.now_ns + LONG_NS)
    for link in taken:
        check(links, link, failed, posted=posted, withdrawn=withdrawn)
    for rank, at_ns in failed.items():
        assert all(when_ns <= at_ns for when_ns, _ in links.memories[rank].writes)
        assert all(when_ns <= at_ns for when_ns, *_ in links.seen[rank])
    assert links.complaints == []
    assert links.time.due_ns() == NEVER


def check(
    links: Links, link: Transfer, failed: dict[int, int], *, posted: set[int], withdrawn: set[int]
) -> None:
    request = link.request_id
    for rank, peer in ((link.sender, link.receiver), (link.receiver, link.sender)):
        if rank in failed:
            continue
        said = kinds(links.seen[rank], request)
        if rank == link.sender and request not in posted:
            assert said == []
        elif peer in failed:
            whole = [DONE] if rank == link.sender else [LOST, DONE]
            over = [FAILED] if rank == link.sender else [DONE]
            assert said in (whole, over, [LOST, FAILED])
        elif request not in withdrawn:
            assert said == ([DONE] if request in posted else [])
        elif rank == link.sender:
            assert said in ([DONE], [FAILED])
        else:
            assert said in ([DONE], [])  # its end comes with the sender's message
