"""What KV bytes must be: a pattern that follows from a block's content key and a word's place in
the block. Every kind of memory writes and checks the same, so a receiver can compute what must have
arrived from any sender. `adpkv.gpu.kernels` has the same formula for devices.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from adpkv.core.content import blocks_for

__all__ = ["CANARY", "ODD", "mixed", "mixed_all", "parts", "places", "word_bytes"]

CANARY: Final = 0xDE
"""The value of each byte of a freed block. Blocks that were never used are zero."""

ODD: Final = np.uint64(0x9E3779B97F4A7C15)
_MASK: Final = (1 << 64) - 1


def mixed(key: int) -> np.uint64:
    """SplitMix64's finalizer, a hash: similar keys get unrelated numbers."""
    z = (key * 0xBF58476D1CE4E5B9 + 0x9E3779B97F4A7C15) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return np.uint64(z ^ (z >> 31))


def mixed_all(keys: Sequence[int]) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """`mixed` of many keys. Only their last 64 bits count."""
    z = np.array([key & _MASK for key in keys], np.uint64)
    z = z * np.uint64(0xBF58476D1CE4E5B9) + ODD
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def places(shape: tuple[int, ...]) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """A different number for each machine word of a block, in the given shape."""
    count = int(np.prod(shape))
    numbers = np.arange(1, count + 1, dtype=np.uint64) * ODD
    numbers ^= numbers >> np.uint64(29)
    return numbers.reshape(shape)


def word_bytes(token_bytes: int) -> int:
    """The widest machine word, in bytes, that divides a token's K or V of a layer."""
    return next(size for size in (8, 4, 2, 1) if token_bytes % size == 0)


def parts(first_token: int, end_token: int, block_tokens: int) -> list[tuple[int, int, int]]:
    """(block's index in the prompt, first token in the block, end) of a range of prompt tokens."""
    size = block_tokens
    return [
        (index, max(first_token - index * size, 0), min(end_token - index * size, size))
        for index in range(first_token // size, blocks_for(end_token, size))
    ]
