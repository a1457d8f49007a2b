"""Messages with a coordinator thread beside rank 0; `programs/mailbox` has what every messages must
do."""

from __future__ import annotations

import sys
import time
from collections import deque

from mpi4py import MPI

from adpkv.core.ids import COORDINATOR
from adpkv.core.stop import StopReason
from adpkv.core.values import Outcome, Response
from adpkv.executor.collectives import Receive
from adpkv.executor.messages import Answers, Cancel, Message, Stopped
from adpkv.worlds.mpi.coordinator import CoordinatorThread
from adpkv.worlds.mpi.driver import guarded
from adpkv.worlds.mpi.endpoint import Endpoint
from adpkv.worlds.mpi.mailbox import CoordinatorMailbox, RankMailbox

MESSAGES = 200
PATIENCE_S = 30


class Rig:
    """One rank's mailbox, and on rank 0 the coordinator's."""

    def __init__(self) -> None:
        world = MPI.COMM_WORLD
        self.rank, self.size = world.rank, world.size
        peers, coordinator = world.Dup(), world.Dup()
        to_coordinator: deque[bytes] = deque()
        inbox: deque[bytes] = deque()
        self.box = RankMailbox(
            Endpoint(peers),
            Endpoint(coordinator),
            to_coordinator if self.rank == 0 else None,
            inbox,
        )
        self.coordinator = CoordinatorMailbox(
            Endpoint(coordinator), Endpoint(peers), to_coordinator, inbox
        )

    def receive(self, count: int) -> list[Message]:
        found: list[Message] = []
        until_s = time.monotonic() + PATIENCE_S
        while len(found) < count:
            assert time.monotonic() < until_s, f"{len(found)} of {count} messages"
            found += self.box.receive()
        return found


def coordinator(rig: Rig) -> None:
    """Each rank tells the coordinator, which answers each, while mains are in a collective."""
    world = MPI.COMM_WORLD
    heard: list[Message] = []

    async def coordinator() -> None:
        while len(heard) < rig.size * MESSAGES:
            heard.extend(await Receive(1 << 62))
        for rank in range(rig.size):
            rig.coordinator.send(rank, Cancel(rank))
        assert await Receive(0) == []

    if rig.rank == 0:
        thread = CoordinatorThread(coordinator(), rig.coordinator, time.perf_counter_ns)
        thread.start()
    for number in range(MESSAGES):
        response = Response(number, 0, Outcome.COMPLETED, rig.rank)
        rig.box.send(COORDINATOR, Answers(rig.rank, (response,)))
    world.Barrier()
    assert rig.receive(1) == [Cancel(rig.rank)]
    if rig.rank == 0:
        thread.join(PATIENCE_S)
        for rank in range(rig.size):
            numbers = [m.responses[0].request_id for m in heard if m.instance == rank]
            assert numbers == list(range(MESSAGES))


def coordinator_fails(rig: Rig) -> None:
    """An exception in the coordinator's thread ends the whole job."""

    async def coordinator() -> None:
        await Receive(0)
        raise RuntimeError("a planted failure")

    if rig.rank == 0:
        CoordinatorThread(coordinator(), rig.coordinator, time.perf_counter_ns).start()
    rig.box.send(COORDINATOR, Stopped(0, StopReason(0)))
    rig.receive(1)


CASES = {case.__name__: case for case in (coordinator, coordinator_fails)}


def main() -> int:
    rig = Rig()
    guarded(f"rank {rig.rank}", lambda: CASES[sys.argv[1]](rig))
    MPI.COMM_WORLD.Barrier()
    if rig.rank == 0:
        print("fine", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
