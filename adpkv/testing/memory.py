"""What every memory must do, and which violations it must notice, as bodies for any implementation.

A body gets a `Rig`: a memory of `BLOCKS` blocks, the violations that it reported so far, and the
part of the link: KV that arrives as it should, and bytes that arrive too late. One memory notices a
write as it lands, another only at the next hand-out of the block; so a body that plants a violation
ends with the hand-out at which it must have been noticed at the latest.

Only the kinds of the reported violations are checked; which request is named, and how often, is up
to each memory. So is whether `verify` knows what is wrong at once, or answers True and reports it
later (`memory.port`): a rig's `told` waits for that.
"""

from __future__ import annotations

from collections.abc import Callable

from adpkv.testing import memory_blocks, memory_kept, memory_kv
from adpkv.testing.memory_rig import BLOCKS, TOKENS, Rig

__all__ = ["BLOCKS", "BODIES", "TOKENS", "Rig"]

BODIES: dict[str, Callable[[Rig], None]] = dict(
    sorted((memory_blocks.BODIES | memory_kv.BODIES | memory_kept.BODIES).items())
)
"""Every body by its name."""
