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

from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np

from adpkv.core.content import blocks_for
from adpkv.memory.port import Region, Report

__all__ = ["CANARY", "HostMemory"]

CANARY: Final = 0xDE
"""The value of each byte of a freed block. Blocks that were never used are zero."""

MAX_REPORTED: Final = 8
"""How many blocks a report names one by one."""

_ODD: Final = np.uint64(0x9E3779B97F4A7C15)
_MASK: Final = (1 << 64) - 1


def _mixed(key: int) -> np.uint64:
    """SplitMix64's finalizer, a hash: similar keys get unrelated numbers."""
    z = (key * 0xBF58476D1CE4E5B9 + 0x9E3779B97F4A7C15) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return np.uint64(z ^ (z >> 31))


def _places(shape: tuple[int, ...]) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """A different number for each machine word of a block, in the given shape."""
    count = int(np.prod(shape))
    numbers = np.arange(1, count + 1, dtype=np.uint64) * _ODD
    numbers ^= numbers >> np.uint64(29)
    return numbers.reshape(shape)


class HostMemory:
    """`memory.port.Memory` in a numpy array.

    It calls `report(kind, detail, leases)` for `write_after_free`, `double_free`, `two_owners`,
    `two_writers`, `freed_in_doubt` and `wrong_kv`.
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
        # The widest machine word, in bytes, that divides a token's K or V of a layer.
        word = next(size for size in (8, 4, 2, 1) if token_bytes % size == 0)
        self._word = np.dtype(f"u{word}")
        self._shape = (layers, 2, block_tokens, token_bytes // word)
        self._places = _places(self._shape)
        self._bytes = np.zeros((blocks, self.block_bytes), dtype=np.uint8)
        self._flat: memoryview = self._bytes.reshape(-1).data
        self._free = bytearray(b"\1" * blocks)
        self._never_used = bytearray(b"\1" * blocks)
        self._writers: dict[int, int] = {}
        self._owners = [0] * blocks
        """Each block's present or last lease, to be named in a report."""
        self._report = report

    def view(self, first: int, count: int) -> memoryview:
        """The bytes of `count` adjacent blocks from `first`, to be read or written in place."""
        size = self.block_bytes
        return self._flat[first * size : (first + count) * size]

    def region(self) -> Region:
        """All blocks together."""
        return Region(self._bytes.ctypes.data, self._bytes.nbytes)

    def hand_out(self, owner: int, fresh: Sequence[int], evicted: Sequence[int]) -> None:
        """Blocks get a new owner. Checks that fresh ones are as `release` left them."""
        taken, spoilt, doubtful = [], [], []
        for block in fresh:
            # A block in use has its owner's bytes: that is no write after free.
            if not self._free[block]:
                taken.append(block)
            elif not self._untouched(block):
                spoilt.append(block)
            self._free[block] = self._never_used[block] = 0
        for block in evicted:
            if self._writers.pop(block, None) is not None:
                doubtful.append(block)
            self._free[block] = self._never_used[block] = 0
        if taken:
            leases = (*self._leases(taken), owner)
            self._tell("two_owners", taken, f"given to lease {owner} while in use", leases)
        if spoilt:
            leases = self._leases(spoilt)
            self._tell("write_after_free", spoilt, f"found when given to lease {owner}", leases)
        if doubtful:
            how, leases = "evicted while a peer may write into them", self._leases(doubtful)
            self._tell("freed_in_doubt", doubtful, how, leases)
        for block in (*fresh, *evicted):
            self._owners[block] = owner

    def release(self, blocks: Sequence[int]) -> None:
        """Blocks went back to the free list: fill them with the canary, to find later writes."""
        twice, doubtful = [], []
        for block in blocks:
            if self._free[block]:
                twice.append(block)
            if self._writers.pop(block, None) is not None:
                doubtful.append(block)
            self._free[block] = 1
            self._bytes[block] = CANARY
        if twice:
            self._tell("double_free", twice, "released while free", self._leases(twice))
        if doubtful:
            how, leases = "released while a peer may write into them", self._leases(doubtful)
            self._tell("freed_in_doubt", doubtful, how, leases)

    def expect_write(self, owner: int, blocks: Sequence[int]) -> None:
        """A peer may write into `blocks` of `owner` from now on."""
        # Also if the same lease advertises a block twice: two peers would write into it.
        contested = [block for block in blocks if block in self._writers]
        if contested:
            leases = (*(self._writers[block] for block in contested), owner)
            how = f"advertised by lease {owner}, not the first time"
            self._tell("two_writers", contested, how, leases)
        self._writers.update(dict.fromkeys(blocks, owner))

    def end_write(self, owner: int, blocks: Sequence[int]) -> None:
        """It is proven that the peer writes no more."""
        for block in blocks:
            if self._writers.get(block) == owner:
                del self._writers[block]

    def compute(
        self, blocks: Sequence[int], keys: Sequence[int], first_token: int, end_token: int
    ) -> None:
        """Write the pattern of the prompt tokens [first_token, end_token)."""
        for index, begin, end in self._parts(first_token, end_token):
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
        """Check all free blocks that were ever used."""
        spoilt = [
            block
            for block, free in enumerate(self._free)
            if free and not self._never_used[block] and not self._untouched(block)
        ]
        if spoilt:
            self._tell("write_after_free", spoilt, "found at the end", self._leases(spoilt))

    def _compare(self, what: str, blocks: Sequence[int], keys: Sequence[int], tokens: int) -> bool:
        wrong = []
        for index, begin, end in self._parts(0, tokens):
            found = self._words(blocks[index])[:, :, begin:end]
            expected = np.empty(found.shape, dtype=self._word)
            self._pattern(keys[index], begin, end, expected)
            if not np.array_equal(found, expected):
                wrong.append(blocks[index])
        if wrong:
            self._tell("wrong_kv", wrong, what, self._leases(wrong))
        return not wrong

    def close(self) -> None:
        """Release the bytes. They stay allocated while a view of them exists."""
        self._flat = memoryview(b"")
        self._bytes = np.zeros((0, self.block_bytes), dtype=np.uint8)

    def _parts(self, first_token: int, end_token: int) -> list[tuple[int, int, int]]:
        """(block's index in the prompt, first token in the block, end) of a range of prompt
        tokens."""
        size = self.block_tokens
        return [
            (index, max(first_token - index * size, 0), min(end_token - index * size, size))
            for index in range(first_token // size, blocks_for(end_token, size))
        ]

    def _words(self, block: int) -> np.ndarray[Any, np.dtype[Any]]:
        words: np.ndarray[Any, np.dtype[Any]] = self._bytes[block].view(self._word)
        return words.reshape(self._shape)

    def _pattern(self, key: int, begin: int, end: int, out: np.ndarray[Any, np.dtype[Any]]) -> None:
        """Write the pattern of tokens [begin, end) of a block into `out`."""
        places = self._places[:, :, begin:end]
        if out.dtype == np.uint64:
            # In place, because a copy would cost as much as the computation.
            np.bitwise_xor(places, _mixed(key), out=out)
            np.multiply(out, _ODD, out=out)
        else:
            words = (places ^ _mixed(key)) * _ODD
            np.copyto(out, words >> np.uint64(64 - 8 * out.dtype.itemsize), casting="unsafe")

    def _untouched(self, block: int) -> bool:
        """Whether a free block is still as `release` left it, or zero if it was never used."""
        left = 0 if self._never_used[block] else CANARY
        return bool((self._bytes[block] == left).all())

    def _leases(self, blocks: Iterable[int]) -> tuple[int, ...]:
        """The present or last leases of the blocks."""
        return tuple(dict.fromkeys(self._owners[block] for block in blocks))

    def _tell(self, kind: str, blocks: Sequence[int], detail: str, leases: tuple[int, ...]) -> None:
        named = ", ".join(map(str, blocks[:MAX_REPORTED]))
        more = f" and {len(blocks) - MAX_REPORTED} more" if len(blocks) > MAX_REPORTED else ""
        self._report(kind, f"blocks {named}{more}: {detail}", leases)
