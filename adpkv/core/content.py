"""What the content of a prompt's KV blocks follows from: one key per block.

A full block with a prefix hash has that hash as its key, so equal prefixes have equal KV and can be
shared. Any other block is private to its request.

Cutting a transfer into contiguous pieces: adjacent blocks become one descriptor.

In the field, posting 90,000 small descriptors took more than half of a 4.9 GB transfer (vllm
#55434). Blocks are block-major, so neighbours in the pool are neighbours in memory.
"""

from __future__ import annotations

from collections.abc import Sequence

from adpkv.core.values import RequestSpec

__all__ = ["blocks_for", "content_keys", "pieces", "prompt_blocks"]


def pieces(source: Sequence[int], target: Sequence[int], most: int) -> list[tuple[int, int, int]]:
    """Cut a transfer where either side is not contiguous, or after `most` blocks.

    Both sides compute this from the same two lists, so a two-sided transport needs no message about
    it. Returns (first source block, first target block, number of blocks), in prompt order.

    Raises:
        ValueError: the lists differ in length, or `most` is not positive.
    """
    if len(source) != len(target) or most < 1:
        raise ValueError(f"{len(source)} source and {len(target)} target blocks, most {most}")
    found: list[tuple[int, int, int]] = []
    start = 0
    for i in range(1, len(source) + 1):
        ends = (
            i == len(source)
            or i - start == most
            or source[i] != source[i - 1] + 1
            or target[i] != target[i - 1] + 1
        )
        if ends:
            found.append((source[start], target[start], i - start))
            start = i
    return found


_BLOCKS_PER_REQUEST = 1 << 20


def blocks_for(tokens: int, block_tokens: int) -> int:
    """How many blocks hold so many tokens, the last one perhaps in part."""
    return -(-tokens // block_tokens)


def prompt_blocks(spec: RequestSpec, block_tokens: int) -> int:
    """How many blocks the prompt's KV fills, the last one perhaps in part."""
    return blocks_for(spec.prompt_tokens, block_tokens)


def content_keys(spec: RequestSpec, block_tokens: int) -> tuple[int, ...]:
    """One key per prompt block: prefix hashes are >= 0, private keys below."""
    count = prompt_blocks(spec, block_tokens)
    hashes = spec.block_hashes
    first_private = -1 - spec.request_id * _BLOCKS_PER_REQUEST
    return hashes + tuple(first_private - i for i in range(len(hashes), count))
