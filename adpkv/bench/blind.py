"""A simulation that nobody watches: the reference for what the oracles cost.

The ledger believes everything, and nobody follows how long input lies unread. What the contract
itself keeps (the pool, the sessions, health) is the same, and so is what is written down.
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
        """Nobody notes it."""

    def release(self, blocks: Sequence[int]) -> None:
        """Nobody notes it."""

    def expect_write(self, owner: int, blocks: Sequence[int]) -> None:
        """Nobody notes it."""

    def end_write(self, owner: int, blocks: Sequence[int]) -> None:
        """Nobody notes it."""

    def land(self, owner: int, blocks: Sequence[int], *, whole: bool) -> None:
        """Nobody notes it."""

    def verify(
        self, request_id: int, blocks: Sequence[int], keys: Sequence[int], tokens: int
    ) -> bool:
        """It will have come."""
        return True

    def verify_again(
        self, request_id: int, blocks: Sequence[int], keys: Sequence[int], tokens: int
    ) -> bool:
        """It will have stayed."""
        return True


class BlindSimulation(Simulation):
    """A job whose ranks nobody watches."""

    ledger = BlindMemory

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for rank, program in enumerate(self.programs):
            self.world.post.box(rank).inbox_age = None
            program.phases.rank.transport.inbox_age = None
