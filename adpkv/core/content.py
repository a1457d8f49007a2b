"""What the content of a prompt's KV blocks follows from: one key per block.

A full block with a prefix hash has that hash as its key, so equal prefixes have equal KV and can be
shared. Any other block is private to its request.
"""

from __future__ import annotations

from adpkv.core.values import RequestSpec

__all__ = ["blocks_for", "content_keys", "prompt_blocks"]

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
