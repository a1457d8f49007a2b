"""Gives KV blocks to a rank's requests and takes them back; reserves one for the dummy.

The pool knows which blocks are free; the memory holds their bytes and checks who writes them. Both
are called here, in this order.
"""

from __future__ import annotations

from collections import deque

from adpkv.core.block_pool import BlockPool
from adpkv.core.request import ServedRequest
from adpkv.memory.port import Memory

__all__ = ["Leases"]

MOST_RELEASED = 1024
"""How many released leases a rank remembers, to name the request if one is written too late."""


class Leases:
    """The block leases of one rank's requests."""

    def __init__(self, pool: BlockPool, memory: Memory) -> None:
        self._pool = pool
        self._memory = memory
        self._released: deque[tuple[int, int]] = deque(maxlen=MOST_RELEASED)
        # A rank without work joins a step with a dummy batch. Its block is reserved from the start,
        # so that a full pool never keeps the others from decoding (contract 5.5, #17978).
        self._dummy = pool.acquire(1)

    def give(self, request: ServedRequest, count: int, hashes: tuple[int, ...]) -> bool:
        """Lease `count` blocks to a request for its whole life; False if the pool has too few now.
        `hashes` are the prefix hashes to look for in the cache."""
        lease = self._pool.acquire(count, hashes)
        if lease is None:
            return False
        request.lease = lease
        end = len(lease.blocks) - lease.evicted
        self._memory.hand_out(lease.number, lease.blocks[lease.reused : end], lease.blocks[end:])
        return True

    def take_back(self, request: ServedRequest) -> None:
        """End a request's lease. No peer may touch its blocks any more."""
        lease = request.lease
        if lease is None:
            return
        self._released.append((lease.number, request.spec.request_id))
        freed = self._pool.release(lease)
        if freed:
            self._memory.release(freed)

    def recent(self) -> tuple[tuple[int, int], ...]:
        """(lease number, request) of the leases that were taken back last, oldest first."""
        return tuple(self._released)

    @property
    def has_dummy(self) -> bool:
        """Whether the rank still has its reserved block for the dummy."""
        return self._dummy is not None

    def free_dummy(self) -> None:
        """When the rank leaves: release the dummy's block."""
        if self._dummy is not None:
            self._pool.release(self._dummy)
            self._dummy = None
