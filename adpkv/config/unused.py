"""Keys that somebody has set, and that nothing reads in this experiment: notes, no errors, as an
experiment may be run with another transport by `--set`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from adpkv.config.transceiver import TransceiverConfig
from adpkv.plugins import TRANSPORT

if TYPE_CHECKING:
    from adpkv.config.experiment import Experiment

__all__ = ["unused_keys"]


class _Readers(NamedTuple):
    """Fields of the section that are read only under a condition."""

    fields: tuple[str, ...]
    are_read: bool
    why: str


def unused_keys(experiment: Experiment) -> list[str]:
    """A sentence for each of these keys of the `transceiver` section. Nothing about a custom
    transport, which may read any of them."""
    if experiment.transceiver.transport not in TRANSPORT.ours:
        return []
    chosen = experiment.transceiver.model_fields_set
    of = TransceiverConfig.model_fields
    return [
        f"transceiver.{of[name].alias or name} has no effect here: {why}"
        for fields, are_read, why in _readers(experiment)
        for name in fields
        if name in chosen and not are_read
    ]


def _readers(experiment: Experiment) -> Iterator[_Readers]:
    transceiver, memory = experiment.transceiver, experiment.kv_cache.memory
    here = f"and transceiver.transport is {transceiver.transport}"
    yield _Readers(
        ("nixl_backend",), transceiver.transport == "nixl", f"only transport nixl reads it, {here}"
    )
    yield _Readers(
        ("ucx_error_handling",),
        transceiver.transport == "ucx",
        f"only transport ucx reads it, {here}",
    )
    yield _Readers(
        ("staging_slots", "staging_slot_bytes", "staging_bandwidth_bytes_per_s"),
        experiment.staging is not None,
        f"transceiver.staging is {transceiver.staging}, and no block is staged in memory {memory}",
    )
    yield _Readers(
        ("device_piece_bytes", "device_post_budget_bytes", "device_post_descriptors"),
        memory != "host",
        "kv_cache.memory is host",
    )
