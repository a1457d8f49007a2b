"""From a model on devices to the coefficients of the cost model.

Each coefficient is one side of a roofline (Williams, Waterman, Patterson, 2009): operations over a
share of the peak rate, or bytes over a share of the bandwidth. The shares are not those of a data
sheet but what engines reach; docs/cost-model.md says which measurement each comes from, and how far
from others the sums are.

A *rank* is what holds a request whole: one GPU, or the GPUs of one tensor-parallel group. A step's
fixed cost reads all weights that its GPUs hold, as a decode step does: routed experts too, since
some token of the group goes to nearly each of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from adpkv.core.step_cost import Costs
from adpkv.presets.architecture import Architecture
from adpkv.presets.devices import Device

__all__ = ["Rank"]

NS: Final = 10**9

COMPUTE: Final = Fraction(1, 2)
"""Share of the peak rate that matrix products of prefill reach."""

ATTENTION: Final = Fraction(1, 2)
"""Share of the BF16 peak rate that attention of prefill reaches."""

MEMORY: Final = Fraction(4, 5)
"""Share of the memory bandwidth at which weights and KV are read."""

LINK: Final = Fraction(4, 5)
"""Share of a link's bandwidth that collectives and transfers reach."""

LAYER_NS: Final = 50_000
"""What a layer costs beside its bytes: launches, norms, small kernels, gaps."""

REDUCE_NS: Final = 10_000
"""One all-reduce or all-to-all of a decode step, whatever its bytes."""

ROOM: Final = Fraction(9, 10)
"""Share of a device's memory that weights and KV may take, as engines have it by default."""

FINEST: Final = 10**6
"""Coefficients are rounded to this part of a nanosecond, the finest that a file may have."""


@dataclass(frozen=True, slots=True)
class Rank:
    """A rank: `tensor_parallel` devices that hold a request together. Routed experts are spread
    over `expert_parallel` devices, those of other ranks too."""

    architecture: Architecture
    device: Device
    tensor_parallel: int = 1
    expert_parallel: int = 1
    kv_dtype_bytes: int = 2

    @property
    def weight_bytes(self) -> Fraction:
        """Of one device."""
        one = self.architecture
        embeddings = one.head_parameters * (1 if one.tied else 2)
        dense = Fraction(one.dense_parameters + embeddings, self.tensor_parallel)
        return one.weight_bytes * (dense + Fraction(one.expert_parameters, self._spread))

    @property
    def kv_bytes_per_token(self) -> int:
        """Of the rank, each value once."""
        return self.architecture.kv_bytes_per_token(self.kv_dtype_bytes)

    @property
    def room_tokens(self) -> int:
        """How many tokens' KV fit beside the weights; not above 0 if these alone do not fit."""
        room = ROOM * self.device.memory_bytes - self.weight_bytes
        return int(room // self._kv_bytes_of_a_device)

    def costs(self) -> Costs:
        """The coefficients of a step, in nanoseconds."""
        one, device = self.architecture, self.device
        rate = COMPUTE * device.flops(one.weight_bytes) * self.tensor_parallel
        attention = ATTENTION * device.bf16_flops * self.tensor_parallel
        token_ns = NS * 2 * one.active_parameters / rate + self._exchanged_ns()
        head_ns = NS * 2 * one.head_parameters / rate
        return Costs(
            base_ns=round(self._base_ns()),
            prefill_token_ns=_fine(token_ns),
            prefill_pair_ns=_fine(NS * one.pair_flops / attention),
            sequence_ns=_fine(token_ns + head_ns),
            context_token_ns=_fine(
                NS * self._kv_bytes_of_a_device / (MEMORY * device.memory_bytes_per_s)
            ),
        )

    @property
    def transfer_bytes_per_s(self) -> int:
        """At what rate the rank's KV goes to another server: each device has a network card."""
        return int(LINK * self.device.network_bytes_per_s * self.tensor_parallel)

    @property
    def _spread(self) -> int:
        return max(self.expert_parallel, self.tensor_parallel)

    @property
    def _kv_bytes_of_a_device(self) -> Fraction:
        """Of a token. KV heads are split over the devices as far as there are any; a latent, which
        all heads share, is on each."""
        one = self.architecture
        parts = 1 if one.latent else min(self.tensor_parallel, one.kv_heads)
        return Fraction(self.kv_bytes_per_token, parts)

    def _base_ns(self) -> Fraction:
        """Reading the weights once, but for the table of embeddings, and the layers' own cost."""
        one = self.architecture
        table = 0 if one.tied else one.weight_bytes * one.head_parameters
        read = self.weight_bytes - Fraction(table, self.tensor_parallel)
        return NS * read / (MEMORY * self.device.memory_bytes_per_s) + one.layers * (
            LAYER_NS + self._reductions_of_a_layer * REDUCE_NS
        )

    @property
    def _reductions_of_a_layer(self) -> int:
        """Tensor parallelism adds up after attention and after the MLP. Expert parallelism sends
        tokens to their experts and back in place of the latter."""
        sharded = 1 if self.tensor_parallel > 1 else 0
        if self.architecture.experts and self.expert_parallel > self.tensor_parallel:
            return sharded + 2
        return 2 * sharded

    def _exchanged_ns(self) -> Fraction:
        """Of a prompt token: its vector in 2 bytes an element, over the link between devices."""
        one, link = self.architecture, LINK * self.device.peer_bytes_per_s
        vector = 2 * one.hidden
        parts, found = self.tensor_parallel, Fraction(0)
        if parts > 1:
            # A ring sends (n - 1) / n of the vector twice for each sum.
            found += 2 * one.layers * Fraction(2 * (parts - 1) * vector, parts)
        if one.experts and self.expert_parallel > parts:
            spread = self.expert_parallel
            sparse = one.layers - one.experts.dense_layers
            away = Fraction(spread - 1, spread) * one.experts.chosen
            # The devices of the rank share its tokens.
            found += sparse * 2 * away * vector / parts
        return NS * found / link


def _fine(value: Fraction) -> Fraction:
    return Fraction(round(value * FINEST), FINEST)
