"""What the tests of faulty transports are made of: a clock, a link, a rank's faults."""

from __future__ import annotations

from typing import Any

from adpkv.config import parse
from adpkv.config.fault_kinds import Seam
from adpkv.core.report import FaultCount
from adpkv.faults.injector import Armed, Injector, armed
from adpkv.faults.schedule import Restarts
from adpkv.faults.transport import FaultyTransport
from adpkv.memory.virtual import LedgerMemory
from adpkv.transport.port import EndKind, Transfer
from adpkv.transport.virtual import Network, VirtualTransport
from tests.conformance.test_virtual_transport import Time
from tests.scenarios.story import setting

__all__ = ["BLOCK_BYTES", "RECEIVER", "SENDER", "Rig", "faults_of", "transfer"]

SENDER, RECEIVER = 0, 1
BLOCK_BYTES = 1024
LATENCY_NS = 10
BANDWIDTH_BYTES_PER_S = 1_024_000_000
"""A block takes a microsecond."""


def transfer(request: int = 0, block: int = 1) -> Transfer:
    """One block from rank 0 to rank 1."""
    return Transfer(request, 0, SENDER, RECEIVER, request, (block,), (block,), BLOCK_BYTES)


def faults_of(rank: int, *faults: dict[str, Any]) -> tuple[list[Armed], Any]:
    """A rank's faults in a job of one sender and one receiver, and the experiment."""
    experiment = parse(setting("faults", 1, 1, faults=list(faults)), "faults")
    return armed(experiment, rank), experiment


class Rig:
    """Both ends of a link, one of them with faults, and the time between them."""

    def __init__(self, rank: int, *faults: dict[str, Any]) -> None:
        self.time = Time()
        self.violations: list[str] = []
        self.wakes: list[int] = []
        self.noted: list[tuple[int, str, str]] = []
        network = self.network = Network(2, LATENCY_NS, BANDWIDTH_BYTES_PER_S, self.time)
        self.memory = LedgerMemory(8, 16, BLOCK_BYTES, self._violated)
        self.sender: VirtualTransport | FaultyTransport = network.end(SENDER, self.memory)
        self.receiver: VirtualTransport | FaultyTransport = network.end(RECEIVER, self.memory)
        self.armed, experiment = faults_of(rank, *faults)
        wrapped = self.wrapped = FaultyTransport(
            self.sender if rank == SENDER else self.receiver,
            Injector(self.armed, experiment.seed, Seam.TRANSPORT),
            rank=rank,
            clock=self.time.clock,
            wake=self.wakes.append,
            note=lambda *said: self.noted.append(said),
            restarts=Restarts(experiment, experiment.topology.build()).concerning(rank),
            restarted=lambda number: self.armed[number].hit(),
        )
        if rank == SENDER:
            self.sender = wrapped
        else:
            self.receiver = wrapped

    def _violated(self, kind: str, *_: object) -> None:
        self.violations.append(kind)

    def expect(self, link: Transfer) -> bool:
        self.memory.expect_write(link.request_id + 1, link.target)
        return self.receiver.expect(link)

    def handle_peer_failure(self, rank: int) -> None:
        """As a world does it."""
        self.network.handle_peer_failure(rank)
        self.wrapped.handle_peer_failure(rank)

    def counts(self) -> list[FaultCount]:
        return [one.count() for one in self.armed]

    def ends(self, end: VirtualTransport | FaultyTransport, until_ns: int) -> list[Any]:
        """(when, session's request, kind) of what an end says by then. Both are polled when a fault
        wants it and when the link has moved."""
        found = []
        while self.time.now_ns < until_ns:
            due = [at_ns for at_ns in (*self.wakes, self.time.due_ns()) if at_ns > self.time.now_ns]
            self.time.run(min([*due, until_ns]))
            for polled in (self.sender, self.receiver):
                said = polled.poll()
                if polled is end:
                    found += [(self.time.now_ns, one.session[0], one.kind) for one in said]
        return found

    def said(self, end: VirtualTransport | FaultyTransport, until_ns: int) -> list[EndKind]:
        return [kind for *_, kind in self.ends(end, until_ns)]
