"""Transport virtual, by the bodies that every transport must pass: its ledger stands for bytes."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from adpkv.config import parse
from adpkv.config.fault_kinds import Seam
from adpkv.core.ids import NEVER
from adpkv.faults.injector import Injector, armed
from adpkv.faults.schedule import Upcoming
from adpkv.faults.transport import FaultyTransport
from adpkv.memory.virtual import LedgerMemory
from adpkv.testing.transport import BLOCKS, BODIES
from adpkv.testing.transport_killed import BODIES as KILLED
from adpkv.testing.transport_killed import MORTAL, SEED
from adpkv.transport.port import Transfer, Transport, TransportEnd
from adpkv.transport.virtual import Network
from tests.scenarios.story import setting

BLOCK_BYTES = 1 << 16
LATENCY_NS = 20_000
BANDWIDTH_BYTES_PER_S = 1 << 30


class Time:
    """A `Timetable` without a world."""

    def __init__(self) -> None:
        self.now_ns = 1
        self._due: list[tuple[int, int, Callable[[Any], None], Any]] = []
        self._count = 0

    def clock(self) -> int:
        return self.now_ns

    def later(self, at_ns: int, owner: int, action: Callable[[Any], None], what: Any) -> None:
        self._count += 1
        heapq.heappush(self._due, (at_ns, self._count, action, what))

    def arrival(self, rank: int) -> None: ...

    def due_ns(self) -> int:
        """When the next thing happens; NEVER without one."""
        return self._due[0][0] if self._due else NEVER

    def run(self, until_ns: int) -> None:
        """Do everything that happens up to then."""
        while self.due_ns() <= until_ns:
            self.step()
        self.now_ns = until_ns

    def step(self) -> None:
        """On to the next thing that happens, and do it."""
        if self._due:
            self.now_ns, _, action, what = heapq.heappop(self._due)
            action(what)
        else:
            self.now_ns += 1


class Ledger(LedgerMemory):
    """Also remembers what was written: what a lease's blocks hold, by who wrote last."""

    def __init__(self) -> None:
        self.complaints: list[str] = []
        super().__init__(BLOCKS, 16, BLOCK_BYTES, lambda *said: self.complaints.append(str(said)))
        self.content: dict[int, tuple[int, int]] = {}


class End:
    """One side, in this process."""

    here = True

    def __init__(self, link: Transport, memory: Ledger) -> None:
        self.memory = memory
        self.peer: End
        self._link = link
        self._leases = 0
        self._open: dict[tuple[int, int], Transfer] = {}

    def expect(self, transfer: Transfer) -> bool:
        self._leases += 1
        self.memory.expect_write(self._leases, transfer.target)
        self._open[transfer.session] = transfer
        return self._link.expect(transfer)

    def post(self, transfer: Transfer) -> None:
        nbytes = BLOCK_BYTES * len(transfer.source)
        self._link.post(msgspec.structs.replace(transfer, nbytes=nbytes))

    def withdraw(self, session: Any) -> None:
        self._link.withdraw(session)

    def peer_ended(self, session: Any, pieces: int) -> None:
        self._link.peer_ended(session, pieces)

    def poll(self) -> list[TransportEnd]:
        ends = self._link.poll()
        for end in ends:
            transfer = self._open.pop(end.session, None)
            if transfer is not None:
                owner = self.memory.awaited(transfer.target)
                if owner in self.memory._landed:
                    self._copy(transfer)
                self.memory.end_write(owner, transfer.target)
        return ends

    def _copy(self, transfer: Transfer) -> None:
        for source, target in zip(transfer.source, transfer.target, strict=True):
            self.memory.content[target] = self.peer.memory.content.get(source, (-1, -1))

    def ready(self) -> bool:
        return self._link.ready()

    def last_moved_ns(self) -> int:
        return self._link.last_moved_ns()

    def close(self) -> None:
        self._link.close()

    def fill(self, blocks: tuple[int, ...], seed: int) -> None:
        for place, block in enumerate(blocks):
            self.memory.content[block] = (seed, place)

    def holds(self, blocks: tuple[int, ...], seed: int) -> bool:
        return [self.memory.content.get(b) for b in blocks] == [
            (seed, place) for place in range(len(blocks))
        ]


class Link:
    """The pair of ends, and the time between them."""

    blocks_per_piece = 1
    """The virtual link can stop anywhere, as one with the smallest pieces could."""

    def __init__(self, around: Callable[[Transport, int, Time], Transport]) -> None:
        self._time = Time()
        self._network = network = Network(2, LATENCY_NS, BANDWIDTH_BYTES_PER_S, self._time)
        self.sender, self.receiver = (self._end(network, rank, around) for rank in (0, 1))
        self.sender.peer, self.receiver.peer = self.receiver, self.sender

    def _end(
        self, network: Network, rank: int, around: Callable[[Transport, int, Time], Transport]
    ) -> End:
        memory = Ledger()
        return End(around(network.end(rank, memory), rank, self._time), memory)

    def step(self) -> None:
        self._time.step()

    def meet(self) -> None:
        """Both are here: nothing to wait for."""

    def rest(self) -> None:
        """Both are here."""

    def agree(self, pieces: int) -> int:
        return pieces


class Mortal(Link):
    """The end of rank 0, and rank 1, which dies."""

    def __init__(self, around: Callable[[Transport, int, Time], Transport]) -> None:
        super().__init__(around)
        living, self._dying = self.sender, self.receiver
        self._dying.fill(tuple(range(BLOCKS)), SEED)
        self.expect, self.post, self.poll = living.expect, living.post, living.poll
        self.fill, self.holds = living.fill, living.holds

    def tell(self, word: str, transfer: Transfer) -> None:
        getattr(self._dying, word)(transfer)

    def kill(self) -> None:
        self._network.handle_peer_failure(MORTAL)


def bare(link: Transport, _rank: int, _time: Time) -> Transport:
    return link


FAR = {"kind": "stall", "phase": "post", "after": "1h"}
"""A fault that never fits."""


def faulty(link: Transport, rank: int, time: Time) -> Transport:
    """The same with the fault seam around it: without a fault that fits it changes nothing."""
    experiment = parse(setting("faults", 1, 1, faults=[FAR, FAR | {"phase": "expect"}]), "far")
    injector = Injector(armed(experiment, rank), experiment.seed, Seam.TRANSPORT)
    assert injector
    return FaultyTransport(
        link,
        injector,
        rank=rank,
        clock=time.clock,
        wake=lambda _: None,
        note=lambda *_: None,
        restarts=Upcoming(),
    )


@pytest.mark.parametrize("around", [bare, faulty])
@pytest.mark.parametrize("name", BODIES)
def test_transport_virtual_conforms(
    name: str, around: Callable[[Transport, int, Time], Transport]
) -> None:
    link = Link(around)
    BODIES[name](link)
    assert link.sender.memory.complaints + link.receiver.memory.complaints == []


@pytest.mark.parametrize("name", KILLED)
def test_transport_virtual_conforms_where_a_peer_dies(name: str) -> None:
    link = Mortal(bare)
    KILLED[name](link)
    assert link.sender.memory.complaints == []
