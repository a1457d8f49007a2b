"""The memory port: one rank's KV blocks, whoever holds them, and the oracle that guards them.

Blocks are block-major, `[block][layer][k|v][token][head][dim]`, so that one block is one
contiguous range. Every call may report violations through the `report` that the memory was
built with; it never raises for them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

__all__ = ["Memory", "Report"]

Report = Callable[[str, str, tuple[int, ...]], None]
"""Told of each violation: its kind, what happened, and the leases that it concerns."""


class Memory(Protocol):
    """`owner` is a lease number, unique in the life of the pool (`core.block_pool.Lease.number`).

    `keys` has one integer per block: what the block's content follows from (its prefix hash, or
    the request for a private tail). Equal keys mean equal content on every rank of the job.
    """

    block_tokens: int
    block_bytes: int

    def hand_out(self, owner: int, fresh: Sequence[int], evicted: Sequence[int]) -> None:
        """Blocks get a new owner: `fresh` come from the free list and must still be as `release`
        left them (write after free shows here), `evicted` hold old cached KV. One of these that
        still awaits a write is freed in doubt, as if it had been released."""
        ...

    def release(self, blocks: Sequence[int]) -> None:
        """Blocks went back to the free list: from now on nobody may write into them."""
        ...

    def expect_write(self, owner: int, blocks: Sequence[int]) -> None:
        """`blocks` of `owner` were advertised: a peer may write into them until `end_write`."""
        ...

    def end_write(self, owner: int, blocks: Sequence[int]) -> None:
        """The peer's writing is proven over."""
        ...

    def compute(
        self, blocks: Sequence[int], keys: Sequence[int], first_token: int, end_token: int
    ) -> None:
        """Prefill made the KV of prompt tokens [first_token, end_token): write their pattern."""
        ...

    def verify(
        self, request_id: int, blocks: Sequence[int], keys: Sequence[int], tokens: int
    ) -> bool:
        """Did a peer write the KV of these `tokens` prompt tokens? Reports `wrong_kv` if not."""
        ...

    def verify_again(
        self, request_id: int, blocks: Sequence[int], keys: Sequence[int], tokens: int
    ) -> bool:
        """Is what `verify` saw still there? Reports `wrong_kv` if it was overwritten meanwhile."""
        ...

    def look_at_free(self) -> None:
        """At the end: are the free blocks as `release` left them? Reports `write_after_free`."""
        ...

    def close(self) -> None:
        """Give the memory back."""
        ...
