"""The staging area of a rank, as the experiment's sections say it."""

from __future__ import annotations

from typing import Final, NamedTuple

from adpkv.config.serving import KvCacheConfig
from adpkv.config.transceiver import TransceiverConfig
from adpkv.plugins import TRANSPORT

__all__ = ["DEVICE_MEMORIES", "Staging", "has_staging", "staging"]

DEVICE_MEMORIES: Final = ("cuda",)
"""The memories for which `transceiver.staging: auto` means on. A network takes microseconds for
each range of device memory, and a kernel packs a thousand of them in less than a millisecond."""


class Staging(NamedTuple):
    """How large a rank's staging area is."""

    slots: int
    """How many transfers it holds at once."""
    half_blocks: int
    """How many blocks one half of a slot holds: the longest chunk of a transfer."""

    @property
    def slot_blocks(self) -> int:
        """How many blocks a slot holds."""
        return 2 * self.half_blocks

    def nbytes(self, block_bytes: int) -> int:
        """The size of the whole area."""
        return self.slots * self.slot_blocks * block_bytes


def has_staging(transceiver: TransceiverConfig, cache: KvCacheConfig) -> bool:
    """Whether ranks have a staging area."""
    if transceiver.staging != "auto":
        return transceiver.staging == "on"
    return transceiver.transport in TRANSPORT.ours and cache.memory in DEVICE_MEMORIES


def staging(
    transceiver: TransceiverConfig, cache: KvCacheConfig, block_bytes: int
) -> Staging | None:
    """The staging area of each rank; None without staging.

    A slot is never larger than the pool, and there are never more slots than transfers in flight:
    more could not be used.
    """
    if not has_staging(transceiver, cache):
        return None
    half = transceiver.staging_slot_bytes // (2 * block_bytes)
    return Staging(
        min(transceiver.staging_slots, transceiver.max_inflight_transfers),
        max(1, min(half, -(-cache.blocks // 2))),
    )
