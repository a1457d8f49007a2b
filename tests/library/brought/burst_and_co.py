"""Somebody else's package: a workload, a model, a policy, a memory and a transport, as an
experiment names them. It is no part of adpkv, and its classes know only what `adpkv.ports` says."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from adpkv.memory.host import HostMemory
from adpkv.memory.virtual import LedgerMemory
from adpkv.ports import (
    NEVER,
    Arrival,
    Batch,
    EndKind,
    Load,
    MemorySetting,
    Proof,
    RealTransportSetting,
    RequestSpec,
    Transfer,
    TransportEnd,
    TransportSetting,
)


class Burst:
    """So many requests at once."""

    def __init__(self, total: int, experiment: Any, tokens: Sequence[int] = (64, 4)) -> None:
        if total < 1:
            raise ValueError("a burst of none")
        self.total, self._taken, self._tokens = total, 0, tuple(tokens)
        self.seed = experiment.seed

    def due_ns(self) -> int:
        return 1_000 if self._taken < self.total else NEVER

    def take(self) -> Arrival:
        self._taken += 1
        return Arrival(1_000, *self._tokens)

    def ended(self, now_ns: int, number: int) -> None: ...


class Constant:
    """Each step takes so many milliseconds."""

    ticks_per_ns = 1

    def __init__(self, step_ms: float) -> None:
        self._step_ns = round(step_ms * 1_000_000)

    def line(self, batch: Batch) -> tuple[int, int]:
        return self._step_ns, 0

    def run(self, batch: Batch) -> None:
        time.sleep(self._step_ns / 1e9)


class LastRank:
    """Fills instances from behind."""

    def choose(
        self, request: RequestSpec, loads: Sequence[Load], room: Sequence[int]
    ) -> int | None:
        return max((rank for rank, free in enumerate(room) if free > 0), default=None)


def memory(setting: MemorySetting) -> Any:
    """Ours, in either world."""
    if setting.world == "virtual":
        return LedgerMemory(
            setting.blocks, setting.block_tokens, setting.block_bytes, setting.report
        )
    shape = setting.experiment.model
    return HostMemory(
        setting.blocks,
        setting.block_tokens,
        shape.layers,
        shape.kv_heads,
        shape.head_dim,
        shape.dtype_bytes,
        setting.report,
    )


class _End:
    proofs = (Proof.BACKEND_DONE, Proof.RECEIVE_ENDED)
    can_withdraw = False

    def __init__(self, setting: Any) -> None:
        self._setting, self._moved_ns = setting, 0
        self._over: list[TransportEnd] = []

    def has_failed(self, rank: int) -> bool:
        return bool(self._setting.has_failed(rank))

    def withdraw(self, session: Any) -> None: ...

    def poll(self) -> list[TransportEnd]:
        over, self._over = self._over, []
        return over

    def last_moved_ns(self) -> int:
        return self._moved_ns

    def _ended(self, transfer: Transfer, kind: EndKind = EndKind.DONE) -> None:
        self._over.append(TransportEnd(transfer.session, kind, transfer.nbytes, 1))
        self._moved_ns = self._setting.now_ns()
        self._setting.wake(self._setting.rank)

    def close(self) -> None: ...


class Instant(_End):
    """In virtual time: a transfer takes exactly a millisecond, whatever its length."""

    name, worlds = "instant", ("virtual",)

    def __init__(self, setting: TransportSetting) -> None:
        super().__init__(setting)
        self._owners: dict[Any, int] = {}

    def expect(self, transfer: Transfer) -> bool:
        self._owners[transfer.session] = self._setting.memory.awaited(transfer.target)
        return True

    def post(self, transfer: Transfer) -> None:
        peer: Instant = self._setting.peer(transfer.receiver)

        def land() -> None:
            owner = peer._owners.pop(transfer.session)
            peer._setting.memory.land(owner, transfer.target, whole=True)
            self._ended(transfer)
            peer._ended(transfer)

        self._setting.later(self._setting.now_ns() + 1_000_000, land)

    def peer_ended(self, session: Any, pieces: int) -> None: ...

    def ready(self) -> bool:
        return bool(self._over)


class Plain(_End):
    """Among real ranks: one message a block, as MPI has it."""

    name, worlds = "plain", ("mpi",)

    def __init__(self, setting: RealTransportSetting) -> None:
        super().__init__(setting)
        self._open: dict[Any, tuple[Transfer, list[Any]]] = {}

    def expect(self, transfer: Transfer) -> bool:
        self._begin(transfer, transfer.target, self._setting.communicator.Irecv, transfer.sender)
        return True

    def post(self, transfer: Transfer) -> None:
        self._begin(transfer, transfer.source, self._setting.communicator.Isend, transfer.receiver)

    def _begin(self, transfer: Transfer, blocks: Sequence[int], start: Any, peer: int) -> None:
        tag, view = transfer.tag % 30_000, self._setting.memory.view
        requests = [start(_bytes(view(block, 1)), peer, tag) for block in blocks]
        self._open[transfer.session] = (transfer, requests)

    def peer_ended(self, session: Any, pieces: int) -> None:
        if session in self._open and not pieces:
            transfer, requests = self._open.pop(session)
            for request in requests:
                request.Cancel()
                request.Wait()
            self._ended(transfer, EndKind.FAILED)

    def ready(self) -> bool:
        for session, (transfer, requests) in list(self._open.items()):
            if all(request.Test() for request in requests):
                del self._open[session]
                self._ended(transfer)
        return bool(self._over)

    def poll(self) -> list[TransportEnd]:
        self.ready()
        return super().poll()


def _bytes(view: memoryview) -> Any:
    from mpi4py import MPI

    return [view, len(view), MPI.BYTE]


def link(setting: Any) -> Any:
    """Either, as its world needs it."""
    return Instant(setting) if setting.world == "virtual" else Plain(setting)
