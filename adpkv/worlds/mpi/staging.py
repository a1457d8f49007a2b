"""The staging area of a real rank, and the transport that packs into it and unpacks from it."""

from __future__ import annotations

from typing import Any

from adpkv.config import Experiment
from adpkv.config.staging import DEVICE_MEMORIES
from adpkv.errors import UsageError
from adpkv.executor.ports import Clock, Mailbox
from adpkv.memory.cuda_staging import CudaStaging
from adpkv.memory.host_staging import HostStaging
from adpkv.memory.port import StagingArea
from adpkv.transport.port import Transport
from adpkv.transport.staged import StagedTransport
from adpkv.worlds.assemble import NO_LIMIT, build_staged

__all__ = ["build_area", "stage"]


def build_area(experiment: Experiment, memory: Any) -> Any:
    """The area beside a rank's memory; None without staging.

    Raises:
        UsageError: the memory is a custom one that has no `staging`.
    """
    sizes = experiment.staging
    if sizes is None:
        return None
    make = getattr(memory, "staging", None)
    if make is None:
        name = experiment.kv_cache.memory
        raise UsageError(
            f"transceiver.staging: kv_cache.memory {name} has no method"
            " staging(slots, slot_blocks, host) that makes a staging area"
        )
    # MPI moves bytes of the host only; the others move those of a device where they are.
    return make(sizes.slots, sizes.slot_blocks, experiment.transceiver.transport == "mpi")


def stage(
    experiment: Experiment, inner: Transport, area: StagingArea, mailbox: Mailbox, clock: Clock
) -> StagedTransport:
    """The transport that packs and unpacks, over one between the ranks' areas.

    In host memory this rank copies itself, so much per poll that an iteration is not delayed: half
    the post budget, as the inner transport may copy the other half in the same poll. A device
    copies by itself, and one kernel for a whole chunk is the fastest.
    """
    on_device = experiment.kv_cache.memory in DEVICE_MEMORIES
    return build_staged(
        experiment,
        inner,
        area,
        mailbox,
        clock=clock,
        watch=area if isinstance(area, HostStaging | CudaStaging) else None,
        pack_bytes=NO_LIMIT if on_device else experiment.transceiver.post_budget_bytes // 2,
    )
