"""One rank's end of what `transport` measures: memory, our transport, and the bare library."""

from __future__ import annotations

from random import Random
from time import perf_counter, perf_counter_ns
from typing import Any, Final

from mpi4py import MPI

from adpkv.bench.bare import make_bare
from adpkv.bench.transport_cells import RECEIVER, SENDER, Asked, Cell
from adpkv.bench.transport_memory import TOKEN_BYTES, made_blocks
from adpkv.config import parse
from adpkv.config.transceiver import TransceiverConfig
from adpkv.core.ids import NEVER
from adpkv.core.inbox_age import InboxAge
from adpkv.errors import AdpkvError
from adpkv.transport.cards import NeedsCards
from adpkv.transport.port import Transfer
from adpkv.worlds.custom_ports import RealTransportSetting
from adpkv.worlds.mpi.cards import exchange
from adpkv.worlds.mpi.transports import OURS, Hooks

__all__ = ["Rig"]

CLOSING_S: Final = 10.0


class Rig:
    """Memory, transport and bare library of one rank, for one cell.

    Scattered blocks never touch, so nothing can be merged; their order is drawn.
    """

    def __init__(self, world: MPI.Intracomm, asked: Asked, cell: Cell) -> None:
        self.nbytes = cell.nbytes
        self.source, self.target = _blocks(cell)
        moved = 2 * cell.blocks
        self._data, self._rank = world.Dup(), world.rank
        self.blocks = made_blocks(
            asked.kind.memory, moved + asked.idle, cell.block_bytes, self._rank
        )
        self.transport = _transport(asked, cell, self._data, self.blocks.memory)
        self.bare = make_bare(asked.kind.transport, self._data, self.blocks.memory)
        if self._rank == SENDER:
            self.blocks.fill(self.source)
        else:
            self._open_idle(asked.idle, moved, cell.block_bytes)

    def _open_idle(self, idle: int, first: int, block_bytes: int) -> None:
        for number in range(idle):
            own = (first + number,)
            self.transport.expect(_transfer(-1 - number, own, own, block_bytes))

    def transfer(self, number: int) -> Transfer:
        """The transfer of this number, from rank 0 to rank 1."""
        return _transfer(number, self.source, self.target, self.nbytes)

    def check(self) -> None:
        """Receiver: whether the bytes of the last transfer are there.

        Raises:
            AdpkvError: they are not.
        """
        if self._rank == RECEIVER:
            self.blocks.check(self.target)
        if self.blocks.wrong:
            raise AdpkvError("; ".join(self.blocks.wrong))

    def copy_s(self) -> float:
        """Receiver: seconds that a plain copy of as many blocks takes. It spoils the memory."""
        return self.blocks.copy_s(self.target, self.source) if self._rank == RECEIVER else 0.0

    def close(self) -> None:
        """Give everything back. The transport is closed as in a job: both ends at the same time."""
        self.transport.close()
        until = perf_counter() + CLOSING_S
        while not self.transport.is_drained() and perf_counter() < until:
            self.transport.discard()
        self._data.Barrier()
        self.bare.close()
        self.blocks.close()
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


def _transport(asked: Asked, cell: Cell, communicator: MPI.Intracomm, memory: Any) -> Any:
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
                "transport": asked.kind.transport,
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
    made = OURS[asked.kind.transport](
        setting, Hooks(InboxAge("an end", NEVER, lambda *_: None), None)
    )
    if isinstance(made, NeedsCards):
        made.take_cards(exchange(communicator, made.card()))
    return made
