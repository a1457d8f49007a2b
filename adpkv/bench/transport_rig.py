"""One rank's end of what `transport` measures: memory, our transport, and the bare library."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from time import perf_counter, perf_counter_ns
from typing import Any, Final

import msgspec
import numpy as np

from adpkv.bench.bare import Bare, make_bare
from adpkv.config import parse
from adpkv.core.inbox_age import InboxAge
from adpkv.memory.host import HostMemory
from adpkv.transport.cards import NeedsCards
from adpkv.transport.port import Transfer
from adpkv.worlds.custom_ports import RealTransportSetting
from adpkv.worlds.mpi.cards import exchange
from adpkv.worlds.mpi.transports import OURS, Hooks

__all__ = ["Cell", "Rig", "made_rig"]

SHAPE: Final = {"layers": 4, "kv_heads": 2, "head_dim": 32, "dtype_bytes": 2}
TOKEN_BYTES: Final = 1024
"""Of the KV of this shape, which is the quickstart's."""


class Cell(msgspec.Struct, frozen=True):
    """One transfer: so many blocks of so many bytes, adjacent in both memories or scattered."""

    block_bytes: int
    blocks: int
    scattered: bool = True


class Rig:
    """Memory, transport and bare library of one rank, for one cell.

    Scattered blocks never touch, so nothing can be merged; their order is drawn.
    """

    def __init__(
        self, cell: Cell, memory: Any, transport: Any, bare: Bare, idle_blocks: int
    ) -> None:
        self.memory, self.transport, self.bare = memory, transport, bare
        self.nbytes = cell.blocks * cell.block_bytes
        self._first_idle = idle_blocks
        if cell.scattered:
            blocks = list(range(0, 2 * cell.blocks, 2))
            self.source = tuple(Random(1).sample(blocks, cell.blocks))
            self.target = tuple(Random(2).sample(blocks, cell.blocks))
        else:
            self.source = self.target = tuple(range(cell.blocks))
