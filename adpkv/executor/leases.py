"""Gives KV blocks to a rank's requests and takes them back; reserves one for the dummy.

The pool knows which blocks are free; the memory holds their bytes and checks who writes them. Both
are called here, in this order.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from adpkv.core.block_pool import BlockPool, Lease
from adpkv.core.request import ServedRequest
from adpkv.memory.port import Memory, ReuseWatch

__all__ = ["Leases"]

MOST_RELEASED: Final = 1024
"""How many released leases a rank remembers, to name the request if one is written too late."""


@cache
def _always_watches(kind: type) -> bool:
    return issubclass(kind, ReuseWatch)


def _watches(memory: Memory) -> bool:
    """Whether it has the methods; if not its class, one of them may be of its own. Python looks at
    each of them, which takes a tenth of putting a small job together."""
    return _always_watches(type(memory)) or isinstance(memory, ReuseWatch)


class Leases:
    """The block leases of one rank's requests."""

    def __init__(self, pool: BlockPool, memory: Memory) -> None:
        self._pool = pool
        self._memory = memory
        self._watch: ReuseWatch | None = memory if _watches(memory) else None  # type: ignore
        self._released: Any = array("q")
        """Lease number and request of each of the last released leases, one after the other: as
        objects they would take seven times as much."""
        self._oldest = 0
        """The place of the oldest of them, once there are `MOST_RELEASED`."""
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
        self._remember(pins, request)
        if self._watch is not None:
            self._watch.unpin(pins.number, pins.blocks)
        if pins.open:
            self._pool.release(pins)

    def take_back(self, request: ServedRequest) -> None:
        """End a request's leases. No peer may touch its blocks any more."""
        lease = request.lease
        if lease is not None:
            self._remember(lease, request)
            freed = self._pool.release(lease)
            if freed:
                self._memory.release(freed)
        # After the others, so that the tail of a prefix is evicted before its head.
        self.unpin(request)

    def _remember(self, lease: Lease, request: ServedRequest) -> None:
        released = self._released
        if len(released) < 2 * MOST_RELEASED:
            released.append(lease.number)
            released.append(request.spec.request_id)
            return
        at = self._oldest
        released[at], released[at + 1] = lease.number, request.spec.request_id
        self._oldest = (at + 2) % len(released)

    def recent(self) -> tuple[tuple[int, int], ...]:
        """(lease number, request) of the leases that were taken back last, oldest first."""
        in_order = self._released[self._oldest :] + self._released[: self._oldest]
        return tuple(zip(in_order[::2], in_order[1::2], strict=True))

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
