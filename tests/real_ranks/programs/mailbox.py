"""All ranks put their mailboxes through the conformance bodies; rank 0 prints one line each.

Rank 0 holds the coordinator's as well, without its thread: `programs/messages` has that.
"""

from __future__ import annotations

import sys
import time
from collections import deque

from mpi4py import MPI

from adpkv.core.ids import COORDINATOR
from adpkv.executor.ports import Mailbox
from adpkv.worlds.mpi.driver import guarded
from adpkv.worlds.mpi.endpoint import Endpoint
from adpkv.worlds.mpi.mailbox import CoordinatorMailbox, RankMailbox
from tests.conformance.mailbox import BODIES

PATIENCE_S = 30


class Mesh:
    """The job as one of its processes sees it."""

    def __init__(self, world: MPI.Intracomm) -> None:
        self.addresses = (*range(world.size), COORDINATOR)
        self._collective = world.Dup()
        peers, coordinator = world.Dup(), world.Dup()
        to_coordinator: deque[bytes] = deque()
        inbox: deque[bytes] = deque()
        leads = world.rank == 0
        own = RankMailbox(
            Endpoint(peers), Endpoint(coordinator), to_coordinator if leads else None, inbox
        )
        self._boxes: dict[int, Mailbox] = {world.rank: own}
        if leads:
            self._boxes[COORDINATOR] = CoordinatorMailbox(
                Endpoint(coordinator), Endpoint(peers), to_coordinator, inbox
            )
        self.here = tuple(self._boxes)
        self._until_s = time.monotonic() + PATIENCE_S

    def box(self, address: int) -> Mailbox:
        return self._boxes[address]

    def step(self) -> None:
        assert time.monotonic() < self._until_s, "nothing came for long"
        time.sleep(0)

    def meet(self) -> None:
        """What was sent before has arrived when all are here, or comes with their next look."""
        self._collective.Barrier()


def main() -> int:
    world = MPI.COMM_WORLD
    mesh = Mesh(world)
    for name, body in BODIES.items():
        guarded(f"rank {world.rank} in {name}", lambda body=body: body(mesh))  # type: ignore[misc]
        world.Barrier()
        if world.rank == 0:
            print(f"passed {name}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
