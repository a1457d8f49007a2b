"""One rank's end of what `transport` measures: memory, our transport, and the bare library."""

from __future__ import annotations

from random import Random
from time import perf_counter, perf_counter_ns
from typing import Any, Final

from mpi4py import MPI

from adpkv.bench.bare import make_bare, ranges
from adpkv.bench.transport_cells import RECEIVER, SENDER, Cell
from adpkv.config import parse
from adpkv.config.transceiver import TransceiverConfig
from adpkv.core.ids import NEVER
from adpkv.core.inbox_age import InboxAge
from adpkv.memory.host import HostMemory
from adpkv.transport.cards import NeedsCards
from adpkv.transport.port import Transfer
from adpkv.worlds.custom_ports import RealTransportSetting
from adpkv.worlds.mpi.cards import exchange
from adpkv.worlds.mpi.transports import OURS, Hooks

__all__ = ["Rig"]

TOKEN_BYTES: Final = 1024
"""4 layers, K and V, 2 heads of 32 values of 2 bytes, as in the quickstart."""
CLOSING_S: Final = 10.0


class Rig:
    """Memory, transport and bare library of one rank, for one cell.

    Scattered blocks never touch, so nothing can be merged; their order is drawn.
    """

    def __init__(self, world: MPI.Intracomm, transport: str, cell: Cell, idle: int) -> None:
        self.nbytes = cell.nbytes
        self.source, self.target = _blocks(cell)
        moved = 2 * cell.blocks
        self.memory = HostMemory(
            moved + idle, cell.block_bytes // TOKEN_BYTES, 4, 2, 32, 2, lambda *_: None
        )
        for block in self.source:
            self.memory.view(block, 1)[:] = bytes([block % 251]) * cell.block_bytes
        self._data, self._rank = world.Dup(), world.rank
        self.transport = _transport(transport, cell, self._data, self.memory)
        self.bare = make_bare(transport, self._data, self.memory)
        if self._rank == RECEIVER:
            for number in range(idle):
                own = (moved + number,)
                self.transport.expect(_transfer(-1 - number, own, own, cell.block_bytes))

    def transfer(self, number: int) -> Transfer:
        """The transfer of this number, from rank 0 to rank 1."""
        return _transfer(number, self.source, self.target, self.nbytes)

    def copy_s(self) -> float:
        """Seconds that a plain copy of the same blocks takes, from where they are received to where
        they would be sent from."""
        view, began = self.memory.view, perf_counter()
        for out, into, count in ranges(self.target, self.source):
            view(into, count)[:] = view(out, count)
        return perf_counter() - began

    def close(self) -> None:
        """Give everything back. The transport is closed as in a job: both ends at the same time."""
        self.transport.close()
        until = perf_counter() + CLOSING_S
        while not self.transport.is_drained() and perf_counter() < until:
            self.transport.discard()
        self._data.Barrier()
        self.bare.close()
        self.memory.close()
        self._data.Free()


def _blocks(cell: Cell) -> tuple[tuple[int, ...], tuple[int, ...]]:
    if not cell.scattered:
        return tuple(range(cell.blocks)), tuple(range(cell.blocks, 2 * cell.blocks))
    apart = range(0, 2 * cell.blocks, 2)
    source, target = (Random(end).sample(apart, cell.blocks) for end in (SENDER, RECEIVER))
    return tuple(source), tuple(target)


def _transfer(
    number: int, source: tuple[int, ...], target: tuple[int, ...], nbytes: int
) -> Transfer:
    tag = abs(2 * number) + (number < 0)
    return Transfer(number, 0, SENDER, RECEIVER, tag, source, target, nbytes)


def _transport(name: str, cell: Cell, communicator: MPI.Intracomm, memory: HostMemory) -> Any:
    """Our transport as a rank of a job makes it, with the defaults where a block fits in them."""
    defaults = TransceiverConfig()
    piece_bytes = max(defaults.piece_bytes, cell.block_bytes)
    experiment = parse(
        {
            "name": "bench",
            "topology": {"context": {"ranks": 1}, "generation": {"ranks": 1}},
            "kv_cache": {
                "block_tokens": cell.block_bytes // TOKEN_BYTES,
                "blocks": memory.blocks,
            },
            "transceiver": {
                "transport": name,
                "piece": f"{piece_bytes}B",
                "post_budget": f"{max(defaults.post_budget_bytes, piece_bytes)}B",
            },
            "workload": {
                "kind": "script",
                "requests": [{"at": "0s", "prompt_tokens": 1, "output_tokens": 1}],
            },
        },
        "the bench",
    )
    setting = RealTransportSetting(
        experiment, communicator.rank, memory, communicator, perf_counter_ns, lambda _: False
    )
    made = OURS[name](setting, Hooks(InboxAge("an end", NEVER, lambda *_: None), None))
    if isinstance(made, NeedsCards):
        made.take_cards(exchange(communicator, made.card()))
    return made
