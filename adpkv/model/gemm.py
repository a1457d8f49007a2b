"""A model that computes: matrix products sized by a batch's tokens, and a read of the KV that the
batch attends to, so that steps and transfers compete for a device as they do in life.

One layer of weights stands for all: each layer's products are made with them. A step reads the KV
of its decoding requests, or of a prompt's chunk the prompt so far, from the rank's own pool.
Between the read (attention) and the products (the experts) the ranks of the group exchange tokens,
and after them back: every rank joins both, with a dummy batch too. Only the end of a step waits for
the device.
"""

from __future__ import annotations

import ctypes
from typing import Any, Final, Protocol

import numpy as np

from adpkv.errors import MissingPieceError
from adpkv.gpu.device import Device, load_cupy
from adpkv.gpu.work import Work, jobs_of
from adpkv.memory.port import Region
from adpkv.model.cost import CostModel
from adpkv.model.port import Batch

__all__ = ["CudaCompute", "Exchange", "GemmModel", "HostCompute", "Shape"]

MOST_ROWS: Final = 4096
"""Most tokens of one product; more are several products."""

READ_BYTES: Final = 1 << 20
"""What one job reads."""

READ_JOBS: Final = 1 << 14
"""How many reads may be under way: 16 GiB of KV in one step, and more in several operations."""

SEED: Final = 12


class Exchange(Protocol):
    """The step's collectives with the other ranks of the group."""

    def dispatch(self, tokens: int) -> int:
        """Give this rank's tokens to the experts on all ranks; returns how many its own got."""
        ...

    def combine(self) -> None:
        """Give them back."""
        ...


class Compute(Protocol):
    """What computes."""

    def read(self, nbytes: int) -> None:
        """Read so many bytes of KV."""
        ...

    def multiply(self, tokens: int) -> None:
        """All layers' products for so many tokens."""
        ...

    def finish(self) -> None:
        """Wait until all of that is done."""
        ...


class Shape:
    """The sizes of a model's products: `layers` times hidden -> intermediate -> hidden."""

    __slots__ = ("hidden", "intermediate", "layers")

    def __init__(self, layers: int, hidden: int, intermediate: int) -> None:
        self.layers, self.hidden, self.intermediate = layers, hidden, intermediate

    def weights(self, kind: Any) -> tuple[Any, Any, Any]:
        """(tokens, up, down): small numbers, so that nothing overflows."""
        draw = np.random.default_rng(SEED)
        sizes = (
            (MOST_ROWS, self.hidden),
            (self.hidden, self.intermediate),
            (self.intermediate, self.hidden),
        )
        tokens, up, down = (draw.uniform(-0.02, 0.02, size).astype(kind) for size in sizes)
        return tokens, up, down


class GemmModel:
    """`model.port.Model`: it costs what `cost` says, and takes what it takes.

    Args:
        cost: for `line`, which virtual time needs.
        compute: does the work.
        kv_bytes: bytes of one token's KV.
        exchange: the step's collectives; None without.
    """

    def __init__(
        self, cost: CostModel, compute: Compute, kv_bytes: int, exchange: Exchange | None
    ) -> None:
        self.ticks_per_ns, self.line = cost.ticks_per_ns, cost.line
        self._compute, self._kv_bytes, self._exchange = compute, kv_bytes, exchange
        self.meets = exchange is not None
        """Whether its steps wait for other ranks."""

    def run(self, batch: Batch) -> None:
        """Compute one step, with the other ranks of the group, and wait until it is done."""
        compute, exchange = self._compute, self._exchange
        tokens = batch.prefill_tokens + batch.sequences
        compute.read(attended(batch) * self._kv_bytes)
        if exchange is not None:
            tokens = exchange.dispatch(tokens)
        compute.multiply(max(tokens, 1))  # a dummy computes too
        if exchange is not None:
            exchange.combine()
        compute.finish()


def attended(batch: Batch) -> int:
    """How many tokens' KV a step reads: each decoding request all of its own; a chunk of a prompt
    the prompt once, which is twice the mean of what its tokens attend to at most."""
    pairs, tokens = batch.prefill_pairs, batch.prefill_tokens
    return batch.context_tokens + (-(-pairs // tokens) if tokens else 0)


class HostCompute:
    """Computes with numpy. `kv`: the rank's pool, if it is in the host's memory."""

    def __init__(self, shape: Shape, kv: Region | None) -> None:
        self._layers = shape.layers
        self._tokens, self._up, self._down = shape.weights(np.float32)
        self._kv = np.zeros(READ_BYTES // 8, np.uint64)
        if kv is not None and kv.nbytes >= 8:
            room = memoryview((ctypes.c_uint8 * kv.nbytes).from_address(kv.address)).cast("B")
            self._kv = np.frombuffer(room, np.uint64, kv.nbytes // 8)

    def read(self, nbytes: int) -> None:
        """Add up so many bytes of the pool."""
        words = nbytes // 8
        while words > 0:
            part = self._kv[: min(words, len(self._kv))]
            part.sum()
            words -= len(part)

    def multiply(self, tokens: int) -> None:
        """All layers' products."""
        for first in range(0, tokens, MOST_ROWS):
            rows = self._tokens[: min(tokens - first, MOST_ROWS)]
            for _ in range(self._layers):
                rows @ self._up @ self._down

    def finish(self) -> None:
        """Nothing is left to wait for."""


class CudaCompute:
    """Computes on the rank's device, on a stream of its own. `kv`: the rank's pool; None, or one in
    the host's memory: a part of the device's in its place.

    Raises:
        MissingPieceError: CuPy cannot multiply matrices here.
    """

    def __init__(self, shape: Shape, device: Device, kv: Region | None) -> None:
        self._device, self._layers = device, shape.layers
        self.stream = device.new_stream()
        self.work = Work(device, READ_JOBS, self.stream)
        cupy = load_cupy()
        if kv is None or kv.device != device.number:
            kv = Region(device.allocate(READ_BYTES), READ_BYTES, device.number)
        self._kv = kv
        try:
            with self.stream:
                found = shape.weights(np.float16)
                self._tokens, self._up, self._down = (cupy.asarray(one) for one in found)
            self.multiply(1)
            self.finish()
        except Exception as error:
            raise MissingPieceError(f"CuPy cannot multiply matrices here: {error}") from error

    def read(self, nbytes: int) -> None:
        """Let the device read so many bytes of the pool."""
        pool = max(self._kv.nbytes // 16 * 16, 16)
        begun = np.arange(0, nbytes, READ_BYTES)
        at = begun % pool
        sizes = np.minimum(np.minimum(READ_BYTES, nbytes - begun), pool - at)
        if len(at):
            jobs = jobs_of(len(at), self._kv.address + at, 0, sizes)
            self.work.submit("adpkv_read", jobs, READ_BYTES, checks=True)

    def multiply(self, tokens: int) -> None:
        """Let the device make all layers' products."""
        with self.stream:
            for first in range(0, tokens, MOST_ROWS):
                rows = self._tokens[: min(tokens - first, MOST_ROWS)]
                for _ in range(self._layers):
                    rows @ self._up @ self._down

    def finish(self) -> None:
        """Wait for the stream: the one place of an iteration that does."""
        self._device.wait(self.stream)
        self.work.poll()
