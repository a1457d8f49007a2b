"""Creates the memory and the transport of a real rank: ours, or a custom one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from mpi4py import MPI

from adpkv.config import Experiment
from adpkv.gpu.device import Device
from adpkv.memory.cuda import CudaMemory
from adpkv.memory.host import HostMemory
from adpkv.memory.port import Report
from adpkv.transport.cards import Card, NeedsCards
from adpkv.transport.port import Transport
from adpkv.worlds.custom_ports import (
    MemorySetting,
    RealTransportSetting,
    own_memory,
    own_transport,
)
from adpkv.worlds.mpi.transports import OURS, Hooks

__all__ = [
    "CustomTransport",
    "RankTransport",
    "build_memory",
    "build_transport",
    "card_of",
    "hand_cards",
]


class RankTransport(Transport, Protocol):
    """A transport with what a job needs besides: to handle rank failures, and to drain at the
    end."""

    def handle_peer_failure(self, ranks: Iterable[int]) -> None:
        """These ranks have failed, and all living ranks know it."""
        ...

    def is_drained(self) -> bool:
        """After `close`, without blocking: is nothing of this rank's in flight any more?"""
        ...

    def discard(self) -> None:
        """After `close`, without blocking: receive and drop what no rank waits for any more."""
        ...

    def release(self) -> None:
        """All ranks have closed: give back what peers could still have used until now."""
        ...


class CustomTransport:
    """A custom transport as a `RankTransport`. Its `on_rank_failure`, if it has one, is called with
    the failed ranks; transfers that it does not end then stay in doubt. After its `close` it counts
    as drained."""

    def __init__(self, transport: Transport) -> None:
        self.name, self.proofs = transport.name, transport.proofs
        self.can_withdraw = transport.can_withdraw
        self.expect, self.has_failed, self.post = (
            transport.expect,
            transport.has_failed,
            transport.post,
        )
        self.withdraw, self.peer_ended = transport.withdraw, transport.peer_ended
        self.poll, self.ready, self.close = transport.poll, transport.ready, transport.close
        self.last_moved_ns = transport.last_moved_ns
        self._failed: Callable[[list[int]], None] | None
        self._failed = getattr(transport, "on_rank_failure", None)

    def handle_peer_failure(self, ranks: Iterable[int]) -> None:
        """Call its `on_rank_failure`, if it has one."""
        if self._failed is not None:
            self._failed(sorted(ranks))

    def is_drained(self) -> bool:
        """Always true: its `close` has given everything back."""
        return True

    def discard(self) -> None:
        """There is nothing to receive."""

    def release(self) -> None:
        """There is nothing left: see `is_drained`."""


def build_transport(
    make: Callable[[RealTransportSetting], Transport] | None,
    setting: RealTransportSetting,
    hooks: Hooks,
) -> RankTransport:
    """A rank's end of the transport: what `make` returns, or ours of the name in the experiment if
    it is None.

    Raises:
        UsageError: it cannot be created here.
    """
    if make is not None:
        own = own_transport(make(setting), setting.experiment, passes=(MPI.Exception,))
        return CustomTransport(own)
    found: RankTransport = OURS[setting.experiment.transceiver.transport](setting, hooks)
    return found


def card_of(transport: RankTransport, name: str) -> Card:
    """What the other ranks must know of this rank's transport. `name`: what the experiment calls
    it."""
    return transport.card() if isinstance(transport, NeedsCards) else Card(name)


def hand_cards(transport: RankTransport, cards: Sequence[Card]) -> None:
    """Give the transport the cards of all ranks, if it needs them."""
    if isinstance(transport, NeedsCards):
        transport.take_cards(cards)


def build_memory(
    make: Callable[[MemorySetting], Any] | None,
    experiment: Experiment,
    rank: int,
    report: Report,
    device: Device | None,
) -> Any:
    """A rank's memory: what `make` returns, or ours if it is None; on the rank's device if the
    experiment says so.

    Raises:
        UsageError: there is not enough of it.
    """
    model, cache = experiment.model, experiment.kv_cache
    sizes = experiment.blocks_of_rank(rank), cache.block_tokens
    if make is not None:
        setting = MemorySetting(experiment, rank, *sizes, experiment.block_bytes, report, "mpi")
        return own_memory(make(setting), experiment)
    shape = model.layers, model.kv_heads, model.head_dim, model.dtype_bytes
    if cache.memory == "cuda":
        assert device is not None
        return CudaMemory(device, *sizes, *shape, report)
    return HostMemory(*sizes, *shape, report)
