"""The rig through which the bodies of a memory reach it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from adpkv.memory.port import Memory

__all__ = ["BLOCKS", "TOKENS", "Rig", "bodies_of", "expecting"]

BLOCKS = 8
TOKENS = 4
"""Tokens of a block."""


class Rig(Protocol):
    """A memory under test. Lease numbers begin at 1, as the pool's do."""

    memory: Memory

    def told(self) -> list[str]:
        """The kinds of the violations reported so far, each once, in order of the first. What a
        memory finds out later is waited for here."""
        ...

    def arrive(self, owner: int, blocks: Sequence[int], keys: Sequence[int]) -> None:
        """A peer's whole KV for these keys lands for a lease that expects it."""
        ...

    def arrive_partly(self, owner: int, blocks: Sequence[int], keys: Sequence[int]) -> None:
        """All but the last block's bytes land; then the peer stops."""
        ...

    def stray(self, owner: int, blocks: Sequence[int]) -> None:
        """Bytes that were meant for a former lease of these blocks land, too late."""
        ...


def expecting(rig: Rig, owner: int, blocks: Sequence[int]) -> None:
    """A lease of these blocks that awaits a peer's KV in them."""
    rig.memory.hand_out(owner, blocks, [])
    rig.memory.expect_write(owner, blocks)


def bodies_of(names: Mapping[str, Any]) -> dict[str, Callable[[Rig], None]]:
    """Every body of a module by its name, from what the module has."""
    return {
        name.removeprefix("check_"): body
        for name, body in names.items()
        if name.startswith("check_")
    }
