"""One rank's end of what `transport` measures: memory, our transport, and the bare library."""

from __future__ import annotations

from itertools import count
from random import Random
from time import perf_counter, perf_counter_ns
from typing import Any, Final

import msgspec
from mpi4py import MPI

from adpkv.bench.bare import make_bare
from adpkv.bench.transport_cells import RECEIVER, SENDER, Asked, Cell
from adpkv.bench.transport_memory import TOKEN_BYTES, made_blocks
from adpkv.bench.transport_words import Polled, Words
from adpkv.config import Experiment, parse
from adpkv.core.ids import NEVER
from adpkv.core.inbox_age import InboxAge
from adpkv.errors import AdpkvError
from adpkv.transport.cards import NeedsCards
from adpkv.transport.port import Transfer
from adpkv.worlds.custom_ports import RealTransportSetting
from adpkv.worlds.mpi.cards import exchange
from adpkv.worlds.mpi.staging import build_area, stage
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
        self._experiment = _experiment(asked, cell, self.blocks.memory.blocks)
        self._inner, area = self._made(asked.kind.transport)
        self._written = (self.blocks.memory if area is None else area).written
        self.transport: Any = self._inner
        self._words = Words(world) if area is not None else None
        if area is not None and self._words is not None:
            staged = stage(self._experiment, self._inner, area, self._words, perf_counter_ns)
            self.transport = Polled(staged, self._words)
        self._bare_blocks = self.blocks
        if asked.kind.on_devices and asked.kind.transport == "mpi":
            # Bare MPI moves no bytes of a device: it moves as many of the host.
            moved_blocks = self.blocks.memory.blocks
            self._bare_blocks = made_blocks("host", moved_blocks, cell.block_bytes, self._rank)
        self.bare = make_bare(asked.kind.transport, self._data, self._bare_blocks.memory)
        self._idle: list[Transfer] = []
        self._idle_blocks = range(moved, moved + asked.idle)
        self._idle_numbers = count(1)
        if self._rank == SENDER:
            self.blocks.fill(self.source)

    def _made(self, name: str) -> tuple[Any, Any]:
        """Our transport as a rank of a job makes it, and the staging area that it is over."""
        memory = self.blocks.memory
        area = build_area(self._experiment, memory)
        setting = RealTransportSetting(
            self._experiment,
            self._rank,
            memory if area is None else area,
            self._data,
            perf_counter_ns,
            lambda _: False,
        )
        made = OURS[name](setting, Hooks(InboxAge("an end", NEVER, lambda *_: None), None))
        if isinstance(made, NeedsCards):
            made.take_cards(exchange(self._data, made.card()))
        return made, area

    def expect(self, transfer: Transfer) -> None:
        """Receiver: expect it, and be ready for its bytes."""
        self.transport.expect(transfer)
        while not self._written().passed():
            pass
        # As the bare library does, which posts all its receives at once.
        while getattr(self._inner, "has_receives_to_post", False):
            self.transport.poll()

    def open_idle(self) -> None:
        """Receiver: expect a transfer for each block that is for that; none of them ever begins."""
        if self._rank == SENDER:
            return
        for block in self._idle_blocks:
            number = -next(self._idle_numbers)
            idle = _transfer(number, (block,), (block,), self.blocks.block_bytes)
            self._idle.append(idle)
            self.transport.expect(idle)

    def end_idle(self) -> None:
        """Receiver: end them, as if their sender had said that it never began."""
        for idle in self._idle:
            self.transport.peer_ended(idle.session, 0)
        left = len(self._idle)
        while left:
            left -= len(self.transport.poll())
        self._idle.clear()

    def transfer(self, number: int) -> Transfer:
        """The transfer of this number, from rank 0 to rank 1; staged, each end knows its own."""
        if self._words is None:
            return _transfer(number, self.source, self.target, self.nbytes)
        sends = self._rank == SENDER
        found = _transfer(number, self.source if sends else (), () if sends else self.target, 0)
        return msgspec.structs.replace(found, nbytes=self.nbytes, source_slot=0, target_slot=0)

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
        self._inner.close()
        until = perf_counter() + CLOSING_S
        while not self._inner.is_drained() and perf_counter() < until:
            self._inner.discard()
        self._data.Barrier()
        if self._words is not None:
            self._words.close()
        self.bare.close()
        if self._bare_blocks is not self.blocks:
            self._bare_blocks.close()
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


def _experiment(asked: Asked, cell: Cell, blocks: int) -> Experiment:
    """An experiment with this transport and memory, and the defaults, but for as many transfers as
    are open."""
    kind = asked.kind
    transceiver: dict[str, Any] = {
        "transport": kind.transport,
        "staging": "on" if kind.staged else "off",
        "staging_slots": 2,
        **({"max_inflight_transfers": 1 + asked.idle} if asked.idle else {}),
    }
    return parse(
        {
            "name": "bench",
            "topology": {"context": {"ranks": 1}, "generation": {"ranks": 1}},
            "kv_cache": {
                "block_tokens": cell.block_bytes // TOKEN_BYTES,
                "blocks": blocks,
                "memory": kind.memory,
            },
            "transceiver": transceiver,
            "workload": {
                "kind": "script",
                "requests": [{"at": "0s", "prompt_tokens": 1, "output_tokens": 1}],
            },
        },
        "the bench",
    )
