"""Gives KV blocks to a rank's requests and takes them back; reserves one for the dummy.

The pool knows which blocks are free; the memory holds their bytes and checks who writes them. Both
are called here, in this order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from functools import cache
from typing import Final

from adpkv.core.block_pool import BlockPool
from adpkv.core.request import ServedRequest
from adpkv.memory.port import Memory, ReuseWatch

__all__ = ["Leases"]

MOST_RELEASED: Final = 1024
"""How many released leases a rank remembers, to name the request if one is written too late."""

REQUEST_BITS: Final = 40
"""No run has so many requests."""


@cache
def _always_watches(kind: type) -> bool:
    return issubclass(kind, ReuseWatch)


def _watches(memory: Memory) -> bool:
    """Whether it has the methods; if not its class, one of them may be of its own. Python looks at
    each of them, which takes a tenth of putting a small job together."""
    return _always_watches(type(memory)) or isinstance(memory, ReuseWatch)


def _packed(lease: int, request_id: int) -> int:
    """One number for both."""
    assert 0 <= request_id < 1 << REQUEST_BITS, "it would be read back as another lease"
    return (lease << REQUEST_BITS) + request_id


class Leases:
    """The block leases of one rank's requests."""

    def __init__(self, pool: BlockPool, memory: Memory) -> None:
        self._pool = pool
        self._memory = memory
        self._watch: ReuseWatch | None = memory if _watches(memory) else None  # type: ignore
        self._released: deque[int] = deque(maxlen=MOST_RELEASED)
        """Lease number and request of the last released leases, each as one number: a tuple of both
        takes three times as much."""
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

    def give_apart(self, request: ServedRequest, count: int, hashes: Sequence[int]) -> bool:
        """As `give`, but the blocks that are found in the cache become the request's pins: nobody
        is given them, and nobody writes into them, until `unpin`."""
        found = self._pool.acquire_apart(count, hashes)
        if found is None:
            return False
        pins, lease = found
        request.lease = lease
        if pins.blocks:
            request.pins = pins
            if self._watch is not None:
                self._watch.pin(pins.number, pins.blocks, hashes)
        end = len(lease.blocks) - lease.evicted
        self._memory.hand_out(lease.number, lease.blocks[:end], lease.blocks[end:])
        return True

    def keep(self, request: ServedRequest, hashes: Sequence[int]) -> None:
        """The KV of the prompt's full blocks is here, and right: others may share it from now on,
        and have it when the request is over."""
        lease, pins = request.lease, request.pins
        assert lease is not None
        new = hashes[0 if pins is None else len(pins.blocks) :]
        self._pool.commit(lease, new)
        if self._watch is not None:
            self._watch.keep(lease.blocks[: lease.tracked], new)

    def unpin(self, request: ServedRequest) -> None:
        """The request reads its cached blocks no more. No peer ever knew them, so this needs no
        proof."""
        pins = request.pins
        if pins is None:
            return
        request.pins = None
        self._released.append(_packed(pins.number, request.spec.request_id))
        if self._watch is not None:
            self._watch.unpin(pins.number, pins.blocks)
        if pins.open:
            self._pool.release(pins)

    def take_back(self, request: ServedRequest) -> None:
        """End a request's leases. No peer may touch its blocks any more."""
        lease = request.lease
        if lease is not None:
            self._released.append(_packed(lease.number, request.spec.request_id))
            freed = self._pool.release(lease)
            if freed:
                self._memory.release(freed)
        # After the others, so that the tail of a prefix is evicted before its head.
        self.unpin(request)

    def recent(self) -> tuple[tuple[int, int], ...]:
        """(lease number, request) of the leases that were taken back last, oldest first."""
        return tuple(divmod(one, 1 << REQUEST_BITS) for one in self._released)

    @property
    def has_dummy(self) -> bool:
        """Whether the rank still has its reserved block for the dummy."""
        return self._dummy is not None

    @property
    def dummy_blocks(self) -> tuple[int, ...]:
        """The block that is reserved for the dummy, as long as it is."""
        return () if self._dummy is None else tuple(self._dummy.blocks)

    def free_dummy(self) -> None:
        """When the rank leaves: release the dummy's block."""
        if self._dummy is not None:
            self._pool.release(self._dummy)
            self._dummy = None
