"""The memory port: one rank's KV blocks, and the checks of who may write into them.

The layout is block-major, `[block][layer][k|v][token][head][dim]`, so one block is one contiguous
range of bytes. Every call may report violations by calling the `report` function that the memory
was made with. It raises nothing for them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

__all__ = ["Memory", "Report"]

Report = Callable[[str, str, tuple[int, ...]], None]
"""Called with each violation: its kind, what happened, and the leases that it concerns."""


class Memory(Protocol):
    """One rank's KV blocks, numbered from 0.

    `owner` is a lease number, which the pool never uses twice (`core.block_pool.Lease.number`).
    `keys` has one content key per block (`core.content.content_keys`). Equal keys mean equal
    content on every rank of the job.
    """

    block_tokens: int
    """Tokens per block."""
    block_bytes: int
    """Bytes per block."""

    def hand_out(self, owner: int, fresh: Sequence[int], evicted: Sequence[int]) -> None:
        """Blocks get a new owner.

        Args:
            fresh: blocks from the free list. They must still be as `release` left them; if not,
                that is a `write_after_free`.
            evicted: blocks from the prefix cache, with old KV. One into which a peer may still
                write is `freed_in_doubt`, as in `release`.
        """
        ...

    def release(self, blocks: Sequence[int]) -> None:
        """Blocks went back to the free list: nothing may write into them from now on."""
        ...

    def expect_write(self, owner: int, blocks: Sequence[int]) -> None:
        """`blocks` of `owner` were advertised: a peer may write into them until `end_write`."""
        ...

    def end_write(self, owner: int, blocks: Sequence[int]) -> None:
        """It is proven that the peer writes no more."""
        ...

    def compute(
        self, blocks: Sequence[int], keys: Sequence[int], first_token: int, end_token: int
    ) -> None:
        """Prefill has computed the KV of the prompt tokens [first_token, end_token): write it."""
        ...

    def verify(
        self, request_id: int, blocks: Sequence[int], keys: Sequence[int], tokens: int
    ) -> bool:
        """Whether a peer has written the KV of the first `tokens` prompt tokens. If not, it reports
        `wrong_kv`."""
        ...

    def verify_again(
        self, request_id: int, blocks: Sequence[int], keys: Sequence[int], tokens: int
    ) -> bool:
        """Whether the KV that `verify` checked is still there. If not, it reports `wrong_kv`."""
        ...

    def look_at_free(self) -> None:
        """At the end of a run: check that the free blocks are as `release` left them. If not, it
        reports `write_after_free`."""
        ...

    def close(self) -> None:
        """Release the memory."""
        ...
