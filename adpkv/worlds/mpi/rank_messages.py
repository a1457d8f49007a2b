"""A rank's messages: its two endpoints, and the queues that it shares with a coordinator in its
process.

Rank 0 hosts the coordinator's thread. Messages between these two go through two queues in the
process; all others go through MPI.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from adpkv.executor.messages import HOST
from adpkv.worlds.mpi.communicators import Communicators
from adpkv.worlds.mpi.endpoint import Endpoint
from adpkv.worlds.mpi.mailbox import CoordinatorMailbox, RankMailbox

__all__ = ["RankMessages"]


class RankMessages:
    """`broke` is called when MPI reports an error; it is None where a job does not survive a rank
    failure."""

    def __init__(
        self, rank: int, communicators: Communicators, broke: Callable[[], None] | None
    ) -> None:
        self.peers = Endpoint(communicators.messages, broke=broke)
        """For messages with the other ranks, and from the coordinator to this rank."""
        self.coordinator = Endpoint(communicators.coordinator, broke=broke)
        """For messages to the coordinator; on rank 0 they arrive here."""
        self._to_coordinator: deque[bytes] = deque()
        self._to_rank: deque[bytes] = deque()
        to_coordinator = self._to_coordinator if rank == HOST else None
        self.mailbox = RankMailbox(self.peers, self.coordinator, to_coordinator, self._to_rank)

    def coordinator_mailbox(self) -> CoordinatorMailbox:
        """The mailbox of the coordinator. Only on rank 0."""
        return CoordinatorMailbox(self.coordinator, self.peers, self._to_coordinator, self._to_rank)
