"""Our transports of real ranks, by name. Each imports its library only when it is asked for."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, cast

from adpkv.core.inbox_age import InboxAge
from adpkv.memory.cuda import CudaMemory
from adpkv.memory.port import HOST, PASSED, Fence
from adpkv.transport.posting import NO_LIMIT, WINDOW_BUDGETS, PostLimits
from adpkv.worlds.custom_ports import RealMemory, RealTransportSetting, bare

__all__ = ["DEVICE_POST_NS", "OURS", "Hooks", "import_before_mpi"]

DEVICE_POST_NS: Final = 230_000
"""How long nixl may post between two polls on memory of a device, where an iteration is to be held
up by no more than 0.3 ms: how long the last write takes is an estimate."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """What our own transports get besides the setting.

    Args:
        inbox_age: follows how long an end is not polled after `ready` has found it.
        broke: called when the transport knows of a rank failure before MPI has told; None if the
            job does not survive failures.
    """

    inbox_age: InboxAge
    broke: Callable[[], None] | None


def _bounds(setting: RealTransportSetting, memory: RealMemory) -> tuple[int, PostLimits]:
    """The size limit of a piece in bytes, and how much a rank may post, as configured for the kind
    of memory that peers touch."""
    config = setting.experiment.transceiver
    piece_bytes, budget_bytes = config.piece_bytes, config.post_budget_bytes
    descriptors = config.post_descriptors
    if memory.region().device != HOST:
        piece_bytes, budget_bytes = config.device_piece_bytes, config.device_post_budget_bytes
        descriptors = config.device_post_descriptors
    return piece_bytes, PostLimits(budget_bytes, WINDOW_BUDGETS * budget_bytes, descriptors)


def _memory(setting: RealTransportSetting) -> RealMemory:
    """The memory that peers touch; `select_ports` has checked it."""
    return cast("RealMemory", setting.memory)


def _written(memory: RealMemory) -> Callable[[], Fence]:
    """Fences of what this rank has written. A staging area is written before it is used."""
    own = bare(memory)
    return own.written if isinstance(own, CudaMemory) else lambda: PASSED


def _mpi(setting: RealTransportSetting, hooks: Hooks) -> Any:
    from adpkv.transport.mpi import MpiTransport

    config, memory = setting.experiment.transceiver, _memory(setting)
    return MpiTransport(
        setting.communicator,
        memory,
        piece_bytes=config.piece_bytes,
        budget_bytes=config.post_budget_bytes,
        clock=setting.clock,
        inbox_age=hooks.inbox_age,
        broke=hooks.broke,
        most_open=config.max_inflight_transfers,
    )


def _nixl(setting: RealTransportSetting, hooks: Hooks) -> Any:
    from adpkv.transport.nixl import NixlTransport

    config, memory = setting.experiment.transceiver, _memory(setting)
    piece_bytes, limits = _bounds(setting, memory)
    return NixlTransport(
        setting.rank,
        memory,
        backend=config.nixl_backend,
        piece_bytes=piece_bytes,
        limits=limits,
        post_ns=NO_LIMIT if memory.region().device == HOST else DEVICE_POST_NS,
        clock=setting.clock,
        inbox_age=hooks.inbox_age,
        written=_written(memory),
        has_failed=setting.has_failed,
    )


def _ucx(setting: RealTransportSetting, hooks: Hooks) -> Any:
    from adpkv.transport.ucx import UcxTransport
    from adpkv.transport.ucx_library import library

    config, memory = setting.experiment.transceiver, _memory(setting)
    piece_bytes, limits = _bounds(setting, memory)
    return UcxTransport(
        library(),
        memory,
        piece_bytes=piece_bytes,
        limits=limits,
        error_handling=config.ucx_error_handling,
        clock=setting.clock,
        host=platform.node(),
        inbox_age=hooks.inbox_age,
        written=_written(memory),
    )


def import_before_mpi(name: str) -> None:
    """Import the library of this transport if it must come before MPI in a process. To be called
    before anything imports mpi4py's MPI."""
    if name == "ucx":
        from adpkv.transport.ucx_library import import_before_mpi

        import_before_mpi()


OURS: Final[Mapping[str, Callable[[RealTransportSetting, Hooks], Any]]] = MappingProxyType(
    {"mpi": _mpi, "nixl": _nixl, "ucx": _ucx}
)
"""Each builds a rank's end of the transport, a `worlds.mpi.custom_ports.RankTransport`. It raises a
UsageError if that cannot be done here. A transport that needs its peers' addresses has the methods
of `transport.cards.NeedsCards` too."""
