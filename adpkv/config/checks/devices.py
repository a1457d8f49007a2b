"""Checks of what the sections say about GPUs.

Whether this machine has one is not checked here: an experiment may be run elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator

from adpkv.config.experiment import Experiment
from adpkv.config.model import GemmModelConfig
from adpkv.config.problem import Problem
from adpkv.config.staging import DEVICE_MEMORIES

__all__ = ["collective", "reach"]


def reach(experiment: Experiment) -> Iterator[Problem]:
    """MPI moves host memory only: KV of a device goes through staging slots of the host."""
    transceiver, memory = experiment.transceiver, experiment.kv_cache.memory
    if (
        memory in DEVICE_MEMORIES
        and transceiver.transport == "mpi"
        and transceiver.staging == "off"
    ):
        yield Problem(
            ("transceiver", "staging"),
            f"must be on or auto: transport mpi cannot reach kv_cache.memory {memory}, only"
            " staging slots in the host's memory; or take another transport",
        )


def collective(experiment: Experiment) -> Iterator[Problem]:
    """NCCL and CUDA IPC move bytes between GPUs: the model must compute on one."""
    model = experiment.model
    if not isinstance(model, GemmModelConfig) or experiment.model_device == "cuda":
        return
    if model.collective_backend in ("nccl", "ipc"):
        path = ("model", "collective_backend")
        yield Problem(path, "needs a GPU: set model.device, or kv_cache.memory, to cuda")
