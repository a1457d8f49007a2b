"""The memory port: one rank's KV blocks, and the checks of who may write into them.

The layout is block-major, `[block][layer][k|v][token][head][dim]`, so one block is one contiguous
range of bytes. Every call may report violations by calling the `report` function that the memory
was made with. It raises nothing for them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol, runtime_checkable

import msgspec

from adpkv.core.ids import SessionId

__all__ = [
    "HOST",
    "PASSED",
    "Fence",
    "Memory",
    "Region",
    "Report",
    "ReuseWatch",
    "SlotWatch",
    "StagingArea",
]

Report = Callable[[str, str, tuple[int, ...]], None]
"""Called with each violation: its kind, what happened, and the leases that it concerns."""


HOST: Final = -1
"""The device number of memory that the host's processor can read."""


class Region(msgspec.Struct, frozen=True, gc=False):
    """One contiguous range of memory, for registering it with a network library: its address, its
    size in bytes, and the device that holds it (`HOST` for none)."""

    address: int
    nbytes: int
    device: int = HOST


class Fence(Protocol):
    """A point in a rank's own work on its memory."""

    def passed(self) -> bool:
        """Whether all work before this point is done. Never waits."""
        ...


class _Passed:
    def passed(self) -> bool:
        return True


PASSED: Final[Fence] = _Passed()
"""The fence of work that was done at once, as all work in host memory is."""


class StagingArea(Protocol):
    """The staging slots of one rank: memory that its peers may read and write, in place of the
    blocks of its pool. Each slot has room for `slot_blocks` blocks, slot after slot.

    To a transport it is a memory of `slots * slot_blocks` blocks of `block_bytes` bytes, where slot
    `s` begins with block `s * slot_blocks`. Only the rank itself copies between slots and its pool.
    """

    slots: int
    slot_blocks: int
    block_bytes: int

    def region(self) -> Region:
        """All slots together."""
        ...

    def view(self, first: int, count: int) -> memoryview:
        """The bytes of `count` adjacent blocks from `first`, in place. Host memory only."""
        ...

    def pack(self, blocks: Sequence[int], first: int) -> Fence:
        """Copy these blocks of the pool into adjacent blocks of the area from `first`."""
        ...

    def unpack(self, first: int, blocks: Sequence[int]) -> Fence:
        """Copy adjacent blocks of the area from `first` into these blocks of the pool."""
        ...


class SlotWatch(Protocol):
    """The checks of who may touch which slot: what `Memory` checks of blocks. An area that has
    these methods is told what its slots are used for."""

    def take(self, slot: int, request_id: int, blocks: Sequence[int]) -> None:
        """A session of this request has the slot from now on; its own blocks are `blocks`. A slot
        that another one still has is `two_owners`."""
        ...

    def give_back(self, slot: int, request_id: int) -> None:
        """It is proven that no peer touches the slot any more. One of which that is not so is
        `freed_in_doubt`."""
        ...

    def lend(self, session: SessionId, peer: int, first: int, count: int, *, writes: bool) -> None:
        """Rank `peer` may read these adjacent blocks from now on, or if it `writes`, write them.
        Blocks that are lent already have `two_writers`. Packing into blocks that are lent, or
        unpacking from them while a peer writes, is `freed_in_doubt`."""
        ...

    def take_back(self, session: SessionId) -> None:
        """It is proven that the peer does not touch what this session was lent."""
        ...


@runtime_checkable
class ReuseWatch(Protocol):
    """The checks of blocks that several requests read. A memory that has these methods is told
    which blocks of received KV are kept for later prompts, and who reads them. From `keep` on,
    until they are handed out again, `expect_write` on one of them is `shared_block`; handing one
    out or releasing it while it is pinned is so too."""

    def keep(self, blocks: Sequence[int], keys: Sequence[int]) -> None:
        """These blocks hold the KV of these content keys, and may be shared from now on."""
        ...

    def pin(self, owner: int, blocks: Sequence[int], keys: Sequence[int]) -> None:
        """Lease `owner` reads these kept blocks from now on. One that does not hold the KV of its
        key is `wrong_kv`. There may be more keys than blocks."""
        ...

    def unpin(self, owner: int, blocks: Sequence[int]) -> None:
        """Lease `owner` reads them no more."""
        ...


class Memory(Protocol):
    """One rank's KV blocks, numbered from 0. It may be a `ReuseWatch` too.

    `owner` is a lease number, which the pool never uses twice (`core.block_pool.Lease.number`).
    `keys` has one content key per block (`core.content.content_keys`). Equal keys mean equal
    content on every rank of the job. A memory whose `reads_keys` is False gets none of a request's,
    as nobody makes them then.
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
        """Whether the KV of the first `tokens` prompt tokens is there: a peer has written it, or
        some blocks of the beginning were kept and a peer has written the others. If not, it reports
        `wrong_kv`. A memory that would have to wait for the answer, such as a device's, returns
        True at once and reports later, at the latest in `look_at_free`."""
        ...

    def verify_again(
        self, request_id: int, blocks: Sequence[int], keys: Sequence[int], tokens: int
    ) -> bool:
        """Whether the KV that `verify` checked is still there. If not, it reports `wrong_kv`; at
        once or later, as in `verify`."""
        ...

    def look_at_free(self) -> None:
        """At the end of a run: check that the free blocks are as `release` left them. If not, it
        reports `write_after_free`. All that it will ever report is reported when this returns."""
        ...

    def close(self) -> None:
        """Release the memory."""
        ...
