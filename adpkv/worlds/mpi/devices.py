"""The GPU of each rank: which, and whether what the ranks put on it fits. All ranks agree.

The ranks of a host share its devices: rank `i` of the host takes device `i % devices`, and several
may take the same one. Where a launcher shows each rank a device of its own (`CUDA_VISIBLE_DEVICES`,
Slurm's bindings), every rank sees one device and takes that. So ranks of one device are recognised
by its place on the bus, not by its number.
"""

from __future__ import annotations

from dataclasses import dataclass

from mpi4py import MPI

from adpkv.config import Experiment
from adpkv.errors import UsageError
from adpkv.gpu.device import Device, device_count
from adpkv.worlds.mpi.agreement import check_together

__all__ = ["HeldDevice", "open_device"]

CONTEXT_BYTES = 600_000_000
"""What a network library, cuBLAS or NCCL may take beside us on each rank's device."""

BUS_ID_BYTES = 32
WITHOUT = "adpkv simulate runs the same without a GPU"


@dataclass(frozen=True, slots=True)
class HeldDevice:
    """A rank's device, and how many ranks of the job have the same."""

    device: Device
    sharing: int


def open_device(experiment: Experiment, world: MPI.Intracomm) -> HeldDevice | None:
    """This rank's device, if the experiment needs one. Every rank must call it.

    Raises:
        AgreedError: some rank has none, or its device has too little memory for its ranks.
    """
    if not experiment.needs_device:
        return None
    here = world.Split_type(MPI.COMM_TYPE_SHARED)
    problem, device = "", None
    try:
        device = Device(here.rank % device_count())
    except UsageError as error:
        problem = f"{experiment.device_key}: {error}; {WITHOUT}"
    check_together(world, problem)
    assert device is not None
    sharing = _sharing(here, device)
    needed, free = sharing * (pool_bytes(experiment) + CONTEXT_BYTES), device.free_bytes()
    here.Barrier()  # everybody has measured before anybody allocates
    here.Free()
    if needed > free:
        problem = (
            f"GPU {device.number} ({device.name}) has {free / 1e9:.1f} GB free, and the"
            f" {sharing} ranks on it need {needed / 1e9:.1f} GB: fewer kv_cache.blocks"
            f" ({pool_bytes(experiment) / 1e9:.1f} GB on each rank), or more devices"
        )
    check_together(world, problem)
    return HeldDevice(device, sharing)


def pool_bytes(experiment: Experiment) -> int:
    """What one rank puts on its device, in bytes: its KV blocks and its staging area."""
    if experiment.kv_cache.memory != "cuda":
        return 0
    pool, staging = experiment.largest_cache.blocks * experiment.block_bytes, experiment.staging
    if staging is not None and experiment.transceiver.transport != "mpi":
        pool += staging.nbytes(experiment.block_bytes)
    return pool


def _sharing(here: MPI.Comm, device: Device) -> int:
    """How many ranks of this host have this device."""
    own = device.bus_id.encode()[:BUS_ID_BYTES].ljust(BUS_ID_BYTES, b"\0")
    found = bytearray(BUS_ID_BYTES * here.size)
    here.Allgather([own, BUS_ID_BYTES, MPI.BYTE], [found, BUS_ID_BYTES, MPI.BYTE])
    slots = [found[at : at + BUS_ID_BYTES] for at in range(0, len(found), BUS_ID_BYTES)]
    return slots.count(bytearray(own))
