"""Whose are the blocks? What no open or pending request holds when it is over is leaked."""

from __future__ import annotations

import msgspec

from adpkv.core.report import BlockCounts
from adpkv.executor.serving import Serving

__all__ = ["block_counts"]


def block_counts(serving: Serving) -> BlockCounts:
    """The block equation as the pool sees it, with what belongs to nobody as `leaked`.

    A block in quarantine belongs to its pending request: kept, reported, never called leaked
    (contract 6.3).
    """
    counts = serving.pool.counts()
    owned: set[int] = set()
    for request in serving.requests.values():
        if request.lease is not None and request.lease.open:
            owned.update(request.lease.blocks)
    held = counts.active + counts.in_transfer + counts.quarantined
    return msgspec.structs.replace(counts, leaked=held - len(owned))
