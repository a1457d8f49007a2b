"""Transport virtual, by the bodies that every transport must pass: its ledger stands for bytes."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from adpkv.memory.virtual import LedgerMemory
from adpkv.transport.port import Transfer, TransportEnd
from adpkv.transport.virtual import Network, VirtualTransport
from tests.conformance.transport import BLOCKS, BODIES

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

    def __init__(self, network: Network, rank: int, memory: Ledger) -> None:
        self.memory = memory
        self.peer: End
        self._wire: VirtualTransport = network.end(rank, memory)
        self._leases = 0
        self._open: dict[tuple[int, int], Transfer] = {}

    def expect(self, transfer: Transfer) -> None:
        self._leases += 1
        self.memory.expect_write(self._leases, transfer.target)
        self._open[transfer.session] = transfer
        self._wire.expect(transfer)

    def post(self, transfer: Transfer) -> None:
        nbytes = BLOCK_BYTES * len(transfer.source)
        self._wire.post(msgspec.structs.replace(transfer, nbytes=nbytes))

    def withdraw(self, session: Any) -> None:
        self._wire.withdraw(session)

    def peer_ended(self, session: Any, pieces: int) -> None:
        self._wire.peer_ended(session, pieces)

    def poll(self) -> list[TransportEnd]:
        ends = self._wire.poll()
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
        return self._wire.ready()

    def last_moved_ns(self) -> int:
        return self._wire.last_moved_ns()

    def fill(self, blocks: tuple[int, ...], seed: int) -> None:
        for place, block in enumerate(blocks):
            self.memory.content[block] = (seed, place)

    def holds(self, blocks: tuple[int, ...], seed: int) -> bool:
        return [self.memory.content.get(b) for b in blocks] == [
            (seed, place) for place in range(len(blocks))
        ]


class Wire:
    """The pair of ends, and the time between them."""

    blocks_per_piece = 1
    """The virtual wire can stop anywhere, as one with the smallest pieces could."""

    def __init__(self) -> None:
        self._time = Time()
        network = Network(2, LATENCY_NS, BANDWIDTH_BYTES_PER_S, self._time)
        self.sender, self.receiver = (End(network, rank, Ledger()) for rank in (0, 1))
        self.sender.peer, self.receiver.peer = self.receiver, self.sender

    def step(self) -> None:
        self._time.step()

    def meet(self) -> None:
        """Both are here: nothing to wait for."""

    def agree(self, pieces: int) -> int:
        return pieces


@pytest.mark.parametrize("name", BODIES)
def test_transport_virtual_conforms(name: str) -> None:
    wire = Wire()
    BODIES[name](wire)
    assert wire.sender.memory.complaints + wire.receiver.memory.complaints == []
