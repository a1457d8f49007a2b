"""A rank's messages: its two endpoints, and the queues that it shares with a coordinator beside it.

Rank 0 hosts the coordinator's thread. What the two write to each other goes through two queues of
the process; everything else goes through MPI.
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
    """`broke` is called when MPI reports an error; None where a job does not outlive a rank."""

    def __init__(
        self, rank: int, communicators: Communicators, broke: Callable[[], None] | None
    ) -> None:
        self.peers = Endpoint(communicators.messages, broke=broke)
        """With the other ranks; what the coordinator sends comes in here too."""
        self.coordinator = Endpoint(communicators.coordinator, broke=broke)
        """To the coordinator; on its host, what all ranks send to it."""
        self._to_coordinator: deque[bytes] = deque()
        self._to_rank: deque[bytes] = deque()
        to_coordinator = self._to_coordinator if rank == HOST else None
        self.mailbox = RankMailbox(self.peers, self.coordinator, to_coordinator, self._to_rank)

    def coordinator_mailbox(self) -> CoordinatorMailbox:
        """The mailbox of the coordinator, whose host this rank must be."""
        return CoordinatorMailbox(self.coordinator, self.peers, self._to_coordinator, self._to_rank)
