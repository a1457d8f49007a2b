"""KV blocks of one rank in host memory, with checks of their bytes.

The layout is block-major, `[block][layer][k|v][token][head][dim]`, in one allocation, whose pages
the system provides when they are first touched. Freed blocks are filled with a canary, which is
checked when they are given out again: that finds a write after free. KV content is a pattern that
follows from the block's content key, the layer, K or V, and the token's place in the block. So a
receiver can compute what must have arrived.

The virtual world's memory (`memory.virtual`) sees every write when it happens. This one sees only
the bytes, and only when it checks them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from adpkv.memory.book import BlockBook, Untouched
from adpkv.memory.host_staging import HostStaging
from adpkv.memory.pattern import CANARY, ODD, mixed, parts, places, word_bytes
from adpkv.memory.port import PASSED, Fence, Region, Report

__all__ = ["HostMemory"]


class HostMemory:
    """`memory.port.Memory` in a numpy array.

    It calls `report(kind, detail, leases)` for `write_after_free`, `double_free`, `two_owners`,
    `two_writers`, `freed_in_doubt`, `shared_block` and `wrong_kv`.
    """

    def __init__(
        self,
        blocks: int,
        block_tokens: int,
        layers: int,
        kv_heads: int,
        head_dim: int,
        dtype_bytes: int,
        report: Report,
    ) -> None:
        self.blocks, self.block_tokens = blocks, block_tokens
        token_bytes = kv_heads * head_dim * dtype_bytes
        self.block_bytes = layers * 2 * block_tokens * token_bytes
        word = word_bytes(token_bytes)
        self._word = np.dtype(f"u{word}")
        self._shape = (layers, 2, block_tokens, token_bytes // word)
        self._places = places(self._shape)
        self._bytes = np.zeros((blocks, self.block_bytes), dtype=np.uint8)
        self._flat: memoryview = self._bytes.reshape(-1).data
        self._book = BlockBook(blocks, report)
        kept = self._book.kept
        self.keep, self.pin, self.unpin = kept.keep, kept.pin, kept.unpin
        self._report = report
        self._staging: HostStaging | None = None

    def staging(self, slots: int, slot_blocks: int, host: bool = False) -> HostStaging:
        """The rank's staging area, for a transport that must not touch its blocks."""
        self._staging = HostStaging(slots, slot_blocks, self._bytes, self._report)
        return self._staging

    def view(self, first: int, count: int) -> memoryview:
        """The bytes of `count` adjacent blocks from `first`, to be read or written in place."""
        size = self.block_bytes
        return self._flat[first * size : (first + count) * size]

    def region(self) -> Region:
        """All blocks together."""
        return Region(self._bytes.ctypes.data, self._bytes.nbytes)

    def written(self) -> Fence:
        """All writes are done when their calls return."""
        return PASSED

    def hand_out(self, owner: int, fresh: Sequence[int], evicted: Sequence[int]) -> None:
        """Blocks get a new owner. Checks that fresh ones are as `release` left them, and kept ones
        as they came."""
        self._compare_kept(*self._book.kept.of(evicted))
        free = self._book.hand_out(owner, fresh, evicted)
        self._book.tell_spoilt(free, self._spoilt(free), f"found when given to lease {owner}")

    def release(self, blocks: Sequence[int]) -> None:
        """Blocks went back to the free list: fill them with the canary, to find later writes."""
        for block in blocks:
            self._bytes[block] = CANARY
        self._book.release(blocks)

    def expect_write(self, owner: int, blocks: Sequence[int]) -> None:
        """A peer may write into `blocks` of `owner` from now on."""
        self._book.expect_write(owner, blocks)

    def end_write(self, owner: int, blocks: Sequence[int]) -> None:
        """It is proven that the peer writes no more."""
        self._book.end_write(owner, blocks)

    def compute(
        self, blocks: Sequence[int], keys: Sequence[int], first_token: int, end_token: int
    ) -> None:
        """Write the pattern of the prompt tokens [first_token, end_token)."""
        for index, begin, end in parts(first_token, end_token, self.block_tokens):
            self._pattern(keys[index], begin, end, self._words(blocks[index])[:, :, begin:end])

    def verify(
        self, request_id: int, blocks: Sequence[int], keys: Sequence[int], tokens: int
    ) -> bool:
        """Whether the first `tokens` tokens have their pattern."""
        return self._compare(f"request {request_id}, {tokens} prompt tokens", blocks, keys, tokens)

    def verify_again(
        self, request_id: int, blocks: Sequence[int], keys: Sequence[int], tokens: int
    ) -> bool:
        """As `verify`, later: a difference was written after the arrival."""
        return self._compare(
            f"request {request_id}: overwritten after arrival", blocks, keys, tokens
        )

    def look_at_free(self) -> None:
        """Check all free blocks that were ever used, and all that are kept."""
        self._compare_kept(*self._book.kept.every())
        free = self._book.free_and_used()
        self._book.tell_spoilt(free, self._spoilt(free), "found at the end")
        if self._staging is not None:
            self._staging.look_at_free()

    def _compare_kept(self, blocks: Sequence[int], keys: Sequence[int]) -> None:
        if blocks:
            tokens = len(blocks) * self.block_tokens
            self._compare("overwritten while kept for reuse", blocks, keys, tokens)

    def _compare(self, what: str, blocks: Sequence[int], keys: Sequence[int], tokens: int) -> bool:
        wrong = []
        for index, begin, end in parts(0, tokens, self.block_tokens):
            found = self._words(blocks[index])[:, :, begin:end]
            expected = np.empty(found.shape, dtype=self._word)
            self._pattern(keys[index], begin, end, expected)
            if not np.array_equal(found, expected):
                wrong.append(blocks[index])
        if wrong:
            self._book.tell("wrong_kv", wrong, what, self._book.leases(wrong))
        return not wrong

    def close(self) -> None:
        """Release the bytes. They stay allocated while a view of them exists."""
        if self._staging is not None:
            self._staging.close()
        self._flat = memoryview(b"")
        self._bytes = np.zeros((0, self.block_bytes), dtype=np.uint8)

    def _words(self, block: int) -> np.ndarray[Any, np.dtype[Any]]:
        words: np.ndarray[Any, np.dtype[Any]] = self._bytes[block].view(self._word)
        return words.reshape(self._shape)

    def _pattern(self, key: int, begin: int, end: int, out: np.ndarray[Any, np.dtype[Any]]) -> None:
        """Write the pattern of tokens [begin, end) of a block into `out`."""
        places = self._places[:, :, begin:end]
        if out.dtype == np.uint64:
            # In place, because a copy would cost as much as the computation.
            np.bitwise_xor(places, mixed(key), out=out)
            np.multiply(out, ODD, out=out)
        else:
            words = (places ^ mixed(key)) * ODD
            np.copyto(out, words >> np.uint64(64 - 8 * out.dtype.itemsize), casting="unsafe")

    def _spoilt(self, free: Untouched) -> list[int]:
        """The places of those of the blocks that are not as they were left."""
        blocks = enumerate(zip(free.blocks, free.left, strict=True))
        return [at for at, (block, left) in blocks if not (self._bytes[block] == left).all()]
