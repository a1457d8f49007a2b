"""The model of a real rank: the experiment's, made to compute if it is one that does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from mpi4py import MPI

from adpkv.config import Experiment
from adpkv.config.model import GemmModelConfig
from adpkv.core.topology import Instance, Kind
from adpkv.errors import UsageError
from adpkv.memory.host import HostMemory
from adpkv.memory.port import Region
from adpkv.model.cost import CostModel
from adpkv.model.gemm import Compute, CudaCompute, GemmModel, HostCompute, Shape
from adpkv.model.own import OwnModel
from adpkv.model.port import Batch, Model
from adpkv.worlds.custom_ports import bare
from adpkv.worlds.mpi.agreement import check_together
from adpkv.worlds.mpi.communicators import LivingRanks
from adpkv.worlds.mpi.process_ports import ProcessPorts
from adpkv.worlds.mpi.step_collective.buffers import Buffers, DeviceBuffers, HostBuffers
from adpkv.worlds.mpi.step_collective.layout import room
from adpkv.worlds.mpi.step_collective.movers import HostMover, IpcMover, Mover, StagedMover
from adpkv.worlds.mpi.step_collective.nccl import NcclMover, load_nccl
from adpkv.worlds.mpi.step_collective.step import StepExchange

__all__ = ["backend_of", "build_rank_model", "may_meet"]

_MOVERS: Final[Mapping[str, Callable[[DeviceBuffers], Mover]]] = MappingProxyType(
    {"nccl": NcclMover, "ipc": IpcMover, "mpi": StagedMover}
)

FIRST: Final = Batch(sequences=1, context_tokens=1)
"""The step that each rank makes before the job begins: with one token every pair has something to
exchange."""

PLACE_BYTES: Final = 96
"""The room for a host's name and a device's place on the bus."""


def build_rank_model(
    experiment: Experiment,
    instance: Instance,
    model: Model,
    *,
    living: LivingRanks,
    ports: ProcessPorts,
) -> Model:
    """`model`, or one that computes in its place. Every rank must call it.

    Raises:
        AgreedError: some rank cannot compute as the experiment says.
    """
    if isinstance(model, OwnModel):
        model.passes = (MPI.Exception,)
    config = experiment.model
    if not isinstance(config, GemmModelConfig) or not isinstance(model, CostModel):
        return model
    world, problem = living.communicators.world, ""
    backend, computes = "none", None
    if config.token_bytes and instance.ranks > 1:
        backend, problem = _agreed_backend(experiment, living, ports)
    check_together(world, problem)
    try:
        computes = _compute(experiment, config, ports)
        exchange = _exchange(experiment, config, instance, backend, living, ports, computes)
    except UsageError as error:
        problem = str(error)
    check_together(world, problem)
    assert computes is not None
    if exchange is not None:
        exchange.open()
    found = GemmModel(model, computes, config.kv_bytes_per_token, exchange)
    # Libraries make kernels, handles and connections when these are first used: NCCL took 1.2 s to
    # connect four devices in its first step. No request is there yet that would wait for it.
    found.run(FIRST)
    return found


def may_meet(model: Model) -> bool:
    """May a step of this model wait for other ranks, inside MPI? A caller's own may."""
    return model.meets if isinstance(model, GemmModel) else not isinstance(model, CostModel)


def _compute(
    experiment: Experiment, config: GemmModelConfig, ports: ProcessPorts
) -> HostCompute | CudaCompute:
    shape = Shape(config.layers, config.width, config.intermediate or 4 * config.width)
    kv: Region = ports.memory.region()
    if experiment.model_device == "cuda":
        assert ports.held is not None
        return CudaCompute(shape, ports.held.device, kv)
    return HostCompute(shape, kv if isinstance(bare(ports.memory), HostMemory) else None)


def _exchange(
    experiment: Experiment,
    config: GemmModelConfig,
    instance: Instance,
    backend: str,
    living: LivingRanks,
    ports: ProcessPorts,
    computes: Compute,
) -> StepExchange | None:
    if backend == "none":
        return None
    executor = experiment.executor
    most = executor.token_budget if instance.kind is Kind.CONTEXT else executor.max_batch_size
    nbytes = room(most, config.token_bytes, instance.ranks)
    buffers: Buffers
    mover: Mover
    if isinstance(computes, CudaCompute):
        assert ports.held is not None
        buffers = DeviceBuffers(ports.held.device, computes.work, computes.stream, nbytes)
        mover = _MOVERS[backend](buffers)
    else:
        buffers = HostBuffers(nbytes)
        mover = HostMover(buffers)
    return StepExchange(
        lambda: living.communicators,
        instance.members,
        config.token_bytes,
        buffers,
        mover,
        ports.report,
    )


def _agreed_backend(
    experiment: Experiment, living: LivingRanks, ports: ProcessPorts
) -> tuple[str, str]:
    """(what moves the bytes of this rank's group, what is wrong with that)."""
    model, own = experiment.model, living.communicators.own
    assert isinstance(model, GemmModelConfig)
    place, has_nccl = MPI.Get_processor_name(), False
    if ports.held is not None and experiment.model_device == "cuda":
        place = f"{place} {ports.held.device.bus_id}"
        try:
            has_nccl = bool(load_nccl())
        except UsageError:
            has_nccl = False
    said = f"{int(has_nccl)}{place}".encode()[:PLACE_BYTES].ljust(PLACE_BYTES)
    heard = bytearray(PLACE_BYTES * own.size)
    own.Allgather([said, PLACE_BYTES, MPI.BYTE], [heard, PLACE_BYTES, MPI.BYTE])
    slots = [heard[at : at + PLACE_BYTES].decode() for at in range(0, len(heard), PLACE_BYTES)]
    places = [slot[1:].strip() for slot in slots]
    return backend_of(
        model.collective_backend,
        places if experiment.model_device == "cuda" else None,
        all_have_nccl=all(slot[0] == "1" for slot in slots),
    )


def backend_of(wanted: str, places: list[str] | None, *, all_have_nccl: bool) -> tuple[str, str]:
    """(`nccl`, `ipc` or `mpi`, what is wrong with that; empty if nothing).

    Where ranks share a device `auto` goes through the host: processes take turns on a device, and a
    collective by IPC waits for it twice. Eight ranks of one H200 took 4.7 ms for a token with IPC
    and 3.3 ms over MPI. Where each has a device of its own IPC may be faster than NCCL (0.92 and
    1.19 ms on two), but it needs devices that reach each other's memory.

    Args:
        wanted: `model.collective_backend`.
        places: the host and the device of each member, as `HOST BUS`; None where the host computes.
        all_have_nccl: whether every member can use NCCL.
    """
    if places is None or wanted == "mpi":
        return "mpi", ""
    shared = len(set(places)) < len(places)
    hosts = len({place.split()[0] for place in places})
    if wanted == "auto":
        if not shared and all_have_nccl:
            return "nccl", ""
        return ("ipc" if hosts == 1 and not shared else "mpi"), ""
    if wanted == "nccl" and shared:
        return wanted, (
            "model.collective_backend: nccl needs a GPU for each rank of a group, and some share"
            " one: use ipc, or more devices"
        )
    if wanted == "nccl" and not all_have_nccl:
        return wanted, "model.collective_backend: NCCL cannot be used on every rank: use ipc or mpi"
    if wanted == "ipc" and hosts > 1:
        return wanted, "model.collective_backend: ipc works within one host, the group has several"
    return wanted, ""
