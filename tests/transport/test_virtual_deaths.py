"""A dead rank on the virtual wire: its peers hear of it, have proof after a latency, and nothing is
written that nobody awaits."""

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
"""When a block is there that had the wire for itself."""
DIES_NS = 500
FENCED_NS = DIES_NS + LATENCY_NS
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


class Wires:
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
        wire = Transfer(request, 0, sender, receiver, request, (request,), (request,), BLOCK_BYTES)
        self.memories[receiver].expect_write(request + 1, wire.target)
        if not self.ends[receiver].expect(wire):
            self.memories[receiver].end_write(request + 1, wire.target)
            return None
        self._open[receiver, request] = wire
        return wire

    def begin(self, request: int, sender: int = 0, receiver: int = 2) -> Transfer:
        wire = self.expect(request, sender, receiver)
        assert wire is not None
        self.ends[sender].post(wire)
        return wire

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
                wire = self._open.get((rank, said.session[0]))
                if wire is not None and said.kind is not LOST:
                    # Proven: the blocks go to somebody else, and a later write is a violation.
                    self.memories[rank].end_write(wire.request_id + 1, wire.target)

    def bury(self, *ranks: int) -> None:
        for rank in ranks:
            self.network.bury(rank)
        self.poll()


@pytest.fixture
def wires() -> Wires:
    return Wires()


def kinds(seen: Iterable[Seen], request: int) -> list[EndKind]:
    return [kind for _, which, kind in seen if which == request]


def test_the_peers_death_is_a_proof_of_this_wire(wires: Wires) -> None:
    assert Proof.PEER_DEAD in wires.ends[0].proofs


def test_what_a_dead_sender_was_writing_is_cut_off(wires: Wires) -> None:
    wires.begin(0)
    wires.run(DIES_NS)
    wires.bury(0)
    wires.run(LONG_NS)
    assert wires.seen[2] == [(DIES_NS, 0, LOST), (FENCED_NS, 0, FAILED)]
    assert wires.memories[2].writes == [(FENCED_NS, False)], "what was under way, before the proof"
    assert wires.complaints == []


def test_what_a_dead_sender_had_not_begun_never_comes(wires: Wires) -> None:
    wires.expect(0, 0, 2)
    wires.run(DIES_NS)
    wires.bury(0)
    wires.run(LONG_NS)
    assert wires.seen[2] == [(DIES_NS, 0, LOST), (FENCED_NS, 0, FAILED)]
    assert wires.memories[2].writes == []


def test_what_a_dead_sender_had_sent_whole_is_done(wires: Wires) -> None:
    wires.begin(0)
    wires.run(LANDED_NS - 5)
    wires.bury(0)
    wires.run(LONG_NS)
    assert wires.seen[2] == [(LANDED_NS - 5, 0, LOST), (LANDED_NS, 0, DONE)]
    assert wires.memories[2].writes == [(LANDED_NS, True)]


def test_what_it_had_withdrawn_ends_without_its_word(wires: Wires) -> None:
    wire = wires.begin(0)
    wires.run(DIES_NS)
    wires.ends[0].withdraw(wire.session)
    wires.bury(0)
    wires.run(LONG_NS)
    assert wires.seen[2] == [(DIES_NS, 0, LOST), (FENCED_NS, 0, FAILED)]
    assert wires.memories[2].writes == [(FENCED_NS, False)]
    assert wires.complaints == []


def test_its_last_word_may_still_come(wires: Wires) -> None:
    wire = wires.expect(0, 0, 2)
    assert wire is not None
    wires.bury(0)
    wires.ends[2].peer_ended(wire.session, 0)
    wires.run(LONG_NS)
    assert kinds(wires.seen[2], 0) == [LOST, FAILED], "one end"


def test_who_writes_to_a_dead_rank_hears_of_it_and_has_the_wire_for_others(wires: Wires) -> None:
    wires.begin(0, receiver=2)
    wires.begin(1, receiver=3)
    wires.run(DIES_NS)
    wires.bury(2)
    assert wires.time.woken[-1] == 0
    wires.run(LONG_NS)
    # Half the wire for each up to then: the other one has a quarter behind it.
    other_ns = LANDED_NS + (DIES_NS - BEGAN_NS + 1) // 2
    assert wires.seen[0] == [(DIES_NS, 0, LOST), (FENCED_NS, 0, FAILED), (other_ns, 1, DONE)]
    assert wires.memories[2].writes == []


def test_what_was_sent_whole_to_a_dead_rank_was_read(wires: Wires) -> None:
    wires.begin(0)
    wires.run(LANDED_NS - 5)
    wires.bury(2)
    wires.run(LONG_NS)
    assert wires.seen[0] == [(LANDED_NS, 0, DONE)]
    assert wires.memories[2].writes == []


def test_what_was_withdrawn_ends_though_its_receiver_died(wires: Wires) -> None:
    wire = wires.begin(0)
    wires.run(DIES_NS)
    wires.ends[0].withdraw(wire.session)
    wires.bury(2)
    wires.run(LONG_NS)
    assert wires.seen[0] == [(FENCED_NS, 0, FAILED)]
    assert wires.memories[2].writes == []


def test_nobody_is_waited_for_who_is_dead(wires: Wires) -> None:
    wires.bury(0)
    assert wires.expect(0, 0, 2) is None
    wires.run(LONG_NS)
    assert wires.seen[2] == []


def test_a_write_to_the_dead_ends_by_itself(wires: Wires) -> None:
    wire = wires.expect(0, 0, 2)
    assert wire is not None
    wires.bury(2)
    wires.ends[0].post(wire)
    assert not wires.ends[0].ready()
    wires.run(LONG_NS)
    assert wires.seen[0] == [(BEGAN_NS + 1, 0, FAILED)]
    assert wires.time.woken == [0]
    assert wires.memories[2].writes == []


@pytest.mark.parametrize("order", [(0, 2), (2, 0)])
def test_between_two_dead_ranks_nothing_moves(wires: Wires, order: tuple[int, int]) -> None:
    wires.begin(0)
    wires.run(DIES_NS)
    wires.bury(order[0])
    wires.bury(order[1])
    wires.run(LONG_NS)
    assert kinds(wires.seen[order[1]], 0) in ([], [LOST]), "while it lived"
    assert wires.memories[2].writes == []


def test_others_are_left_alone(wires: Wires) -> None:
    wires.begin(0, 0, 2)
    wires.begin(1, 1, 3)
    wires.run(DIES_NS)
    wires.bury(0)
    wires.run(LONG_NS)
    assert wires.seen[1] == wires.seen[3] == [(LANDED_NS, 1, DONE)]


def test_the_wire_of_a_dead_rank_does_not_move(wires: Wires) -> None:
    wires.begin(0)
    wires.run(DIES_NS)
    wires.bury(0)
    wires.run(LONG_NS)
    assert wires.ends[2].last_moved_ns() == DIES_NS
    assert wires.time.due_ns() == NEVER


@pytest.mark.parametrize("seed", range(60))
def test_whoever_dies_when(seed: int) -> None:
    """Whatever was open with a dead rank is lost first, if at all, then ended once; what was not
    open with one is done, or withdrawn; nothing lands in what was proven quiet or is dead."""
    draw, wires = Random(seed), Wires()
    dead: dict[int, int] = {}
    taken: list[Transfer] = []
    posted, withdrawn = set(), set()
    for request in range(30):
        wires.run(wires.time.now_ns + draw.choice((0, 1, 7, 300, 1000)))
        sender, receiver = draw.choice((0, 1)), draw.choice((2, 3))
        wire = None if receiver in dead else wires.expect(request, sender, receiver)
        assert (wire is None) is bool(dead.keys() & {sender, receiver})
        if wire is not None:
            taken.append(wire)
        for wire in taken:
            if wire.request_id not in posted and wire.sender not in dead and draw.random() < 0.4:
                posted.add(wire.request_id)
                wires.ends[wire.sender].post(wire)
        if taken and draw.random() < 0.2:
            wire = draw.choice(taken)
            if wire.request_id in posted and wire.sender not in dead:
                withdrawn.add(wire.request_id)
                wires.ends[wire.sender].withdraw(wire.session)
        if draw.random() < 0.06:
            rank = draw.randrange(4)
            if rank not in dead:
                dead[rank] = wires.time.now_ns
                wires.bury(rank)
    wires.run(wires.time.now_ns + LONG_NS)
    for wire in taken:
        check(wires, wire, dead, posted=posted, withdrawn=withdrawn)
    for rank, at_ns in dead.items():
        assert all(when_ns <= at_ns for when_ns, _ in wires.memories[rank].writes)
        assert all(when_ns <= at_ns for when_ns, *_ in wires.seen[rank])
    assert wires.complaints == []
    assert wires.time.due_ns() == NEVER


def check(
    wires: Wires, wire: Transfer, dead: dict[int, int], *, posted: set[int], withdrawn: set[int]
) -> None:
    request = wire.request_id
    for rank, peer in ((wire.sender, wire.receiver), (wire.receiver, wire.sender)):
        if rank in dead:
            continue
        said = kinds(wires.seen[rank], request)
        if rank == wire.sender and request not in posted:
            assert said == []
        elif peer in dead:
            whole = [DONE] if rank == wire.sender else [LOST, DONE]
            over = [FAILED] if rank == wire.sender else [DONE]
            assert said in (whole, over, [LOST, FAILED])
        elif request not in withdrawn:
            assert said == ([DONE] if request in posted else [])
        elif rank == wire.sender:
            assert said in ([DONE], [FAILED])
        else:
            assert said in ([DONE], [])  # its end comes with the sender's word
