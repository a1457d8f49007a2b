"""A simulation without oracles: the reference for what they cost.

The memory checks nothing, and nobody follows how long input lies unread. What the contract itself
needs (the pool, the sessions, health) is the same, and so are the files that are written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from adpkv.memory.virtual import LedgerMemory
from adpkv.worlds.virtual.run import Simulation

__all__ = ["BlindMemory", "BlindSimulation"]


class BlindMemory(LedgerMemory):
    """Memory without bytes and without a ledger."""

    def hand_out(self, owner: int, fresh: Sequence[int], evicted: Sequence[int]) -> None:
        """Check nothing."""

    def release(self, blocks: Sequence[int]) -> None:
        """Check nothing."""

    def expect_write(self, owner: int, blocks: Sequence[int]) -> None:
        """Check nothing."""

    def end_write(self, owner: int, blocks: Sequence[int]) -> None:
        """Check nothing."""

    def land(self, owner: int, blocks: Sequence[int], *, whole: bool) -> None:
        """Check nothing."""

    def verify(
        self, request_id: int, blocks: Sequence[int], keys: Sequence[int], tokens: int
    ) -> bool:
        """Believe that it arrived."""
        return True

    def verify_again(
        self, request_id: int, blocks: Sequence[int], keys: Sequence[int], tokens: int
    ) -> bool:
        """Believe that it is unchanged."""
        return True


class BlindSimulation(Simulation):
    """A simulated job without oracles."""

    ledger = BlindMemory

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for rank, program in enumerate(self.programs):
            self.world.post.box(rank).inbox_age = None
            program.phases.rank.ports.transport.inbox_age = None
