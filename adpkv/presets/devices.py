"""The devices that have names: what their vendors' data sheets say (docs/cost-model.md).

Rates are of dense matrices: data sheets that tell sparse rates tell twice as much.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

__all__ = ["DEVICES", "Device"]

GB: Final = 10**9
TERA: Final = 10**12


@dataclass(frozen=True, slots=True)
class Device:
    """One GPU. `fp8_flops` is 0 where there is no FP8. `peer_bytes_per_s` is one direction of the
    link between GPUs of a host, `network_bytes_per_s` one of its network card."""

    memory_bytes: int
    memory_bytes_per_s: int
    bf16_flops: int
    fp8_flops: int
    peer_bytes_per_s: int
    network_bytes_per_s: int

    def flops(self, weight_bytes: int) -> int:
        """Peak operations per second with weights of this size. Without FP8 the weights are smaller
        to read, and computed as BF16."""
        return self.fp8_flops if weight_bytes == 1 and self.fp8_flops else self.bf16_flops


def _device(
    memory_gb: int, gb_per_s: int, bf16: int, fp8: int, peer_gb_per_s: int, network_gb_per_s: int
) -> Device:
    return Device(
        memory_gb * GB,
        gb_per_s * GB,
        bf16 * TERA,
        fp8 * TERA,
        peer_gb_per_s * GB,
        network_gb_per_s * GB,
    )


DEVICES: Final[Mapping[str, Device]] = {
    "a100": _device(80, 2039, 312, 0, 300, 25),
    "h20": _device(96, 4000, 148, 296, 450, 50),
    "h100": _device(80, 3350, 989, 1979, 450, 50),
    "h800": _device(80, 3350, 989, 1979, 200, 50),
    "h200": _device(141, 4800, 989, 1979, 450, 50),
    "b200": _device(180, 8000, 2250, 4500, 900, 50),
    "l40s": _device(48, 864, 362, 733, 32, 25),
    "mi300x": _device(192, 5300, 1307, 2615, 448, 50),
}
