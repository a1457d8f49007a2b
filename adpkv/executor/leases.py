"""A rank's KV blocks: leased to requests for life, taken back, and one that is the dummy's.

The pool knows which blocks are free, the memory what is in them. Both are told here, in this order.
"""

from __future__ import annotations

from collections import deque

from adpkv.core.block_pool import BlockPool
from adpkv.core.request import ServedRequest
from adpkv.memory.port import Memory

__all__ = ["Leases"]

MOST_RELEASED = 1024
"""How many released leases a rank remembers, for whoever writes into one too late."""


class Leases:
    """What the requests of one rank have of its pool and memory."""

    def __init__(self, pool: BlockPool, memory: Memory) -> None:
        self._pool = pool
        self._memory = memory
        self._released: deque[tuple[int, int]] = deque(maxlen=MOST_RELEASED)
        # A rank without work joins a step with a dummy. Its block is its own from the start, so
        # that a full pool never keeps the others from decoding (contract 5.5, #17978).
        self._dummy = pool.acquire(1)

    def give(self, request: ServedRequest, count: int, hashes: tuple[int, ...]) -> bool:
        """Give a request its blocks for life; False if the pool does not have them now."""
        lease = self._pool.acquire(count, hashes)
        if lease is None:
            return False
        request.lease = lease
        end = len(lease.blocks) - lease.evicted
        self._memory.hand_out(lease.number, lease.blocks[lease.reused : end], lease.blocks[end:])
        return True

    def take_back(self, request: ServedRequest) -> None:
        """Its blocks are quiescent: they are free, or cache."""
        lease = request.lease
        if lease is None:
            return
        self._released.append((lease.number, request.spec.request_id))
        freed = self._pool.release(lease)
        if freed:
            self._memory.release(freed)

    def recent(self) -> tuple[tuple[int, int], ...]:
        """The leases that were taken back last, each with the request that had it."""
        return tuple(self._released)

    @property
    def has_dummy(self) -> bool:
        """Whether there is the block with which the rank joins a step without work."""
        return self._dummy is not None

    def free_dummy(self) -> None:
        """On the way out: the dummy's block goes back like any other."""
        if self._dummy is not None:
            self._pool.release(self._dummy)
            self._dummy = None
