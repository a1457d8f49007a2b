"""A prompt's KV blocks: how many there are, what each contains, and how a transfer is cut.

Content keys: one integer per block stands for its content. A full block with a prefix hash has that
hash as its key, so equal prefixes have equal keys and can be shared. Any other block has a key that
only its request has.

Pieces: adjacent blocks of a transfer become one contiguous piece, so one descriptor. In the field,
posting 90,000 small descriptors took more than half of a 4.9 GB transfer (vllm #55434). The KV is
stored block by block, so neighbours in the pool are neighbours in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from adpkv.core.values import RequestSpec

__all__ = ["blocks_for", "content_keys", "pieces", "prompt_blocks"]


def pieces(source: Sequence[int], target: Sequence[int], most: int) -> list[tuple[int, int, int]]:
    """Cut a transfer into pieces that are contiguous on both sides and have at most `most` blocks.

    Both sides compute this from the same two lists, so a two-sided transport needs no message about
    it.

    Args:
        source, target: block ids of the sender and the receiver, in prompt order, of equal length.
        most: the largest number of blocks in a piece.

    Returns:
        (first source block, first target block, number of blocks) of each piece, in prompt order.

    Raises:
        ValueError: the lists differ in length, or `most` is not positive.
    """
    if len(source) != len(target) or most < 1:
        raise ValueError(f"{len(source)} source and {len(target)} target blocks, most {most}")
    count = len(source)
    if count == 1:
        return [(source[0], target[0], 1)]
    if _is_run(source) and _is_run(target):
        # The usual case, and a sender posts nothing before: a quarter of the loop's time. A chunk
        # of a staged transfer is a range: no block of it need be looked at.
        firsts = range(0, count, most)
        return [(source[i], target[i], min(most, count - i)) for i in firsts]
    found: list[tuple[int, int, int]] = []
    start = 0
    for i in range(1, count + 1):
        ends = (
            i == count
            or i - start == most
            or source[i] != source[i - 1] + 1
            or target[i] != target[i - 1] + 1
        )
        if ends:
            found.append((source[start], target[start], i - start))
            start = i
    return found


def _is_run(blocks: Sequence[int]) -> bool:
    """Whether each block is the one after that before it."""
    if isinstance(blocks, range):
        return blocks.step == 1
    count = len(blocks)
    if not count or blocks[-1] - blocks[0] != count - 1:
        return False
    return tuple(blocks) == tuple(range(blocks[0], blocks[0] + count))


_BLOCKS_PER_REQUEST: Final = 1 << 20


def blocks_for(tokens: int, block_tokens: int) -> int:
    """How many blocks `tokens` tokens take; the last block may be partly filled."""
    return -(-tokens // block_tokens)


def prompt_blocks(spec: RequestSpec, block_tokens: int) -> int:
    """How many blocks the prompt's KV takes; the last block may be partly filled."""
    return -(-spec.prompt_tokens // block_tokens)


def content_keys(spec: RequestSpec, block_tokens: int) -> tuple[int, ...]:
    """The content key of each prompt block, in order: a prefix hash >= 0, or a private key < 0."""
    count = prompt_blocks(spec, block_tokens)
    hashes = spec.block_hashes
    first_private = -1 - spec.request_id * _BLOCKS_PER_REQUEST
    return (*hashes, *range(first_private - len(hashes), first_private - count, -1))
