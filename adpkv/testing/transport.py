"""What every transport must do, as bodies that any implementation can be put through.

A body gets a `Pair`: one transport that sends, one that receives, over memories of their own, and
`step()`, which lets time pass or progress happen.
"""

from __future__ import annotations

from collections.abc import Callable

from adpkv.testing import transport_ending, transport_moving
from adpkv.testing.transport_pair import BLOCKS, Pair, transfer

__all__ = ["BLOCKS", "BODIES", "Pair", "transfer"]

BODIES: dict[str, Callable[[Pair], None]] = dict(
    sorted((transport_ending.BODIES | transport_moving.BODIES).items())
)
"""Every body by its name."""
