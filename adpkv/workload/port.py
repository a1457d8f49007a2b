"""The workload port: which request comes when, and when its client loses patience."""

from __future__ import annotations

from typing import Protocol

import msgspec

__all__ = ["Arrival", "Workload"]


class Arrival(msgspec.Struct, frozen=True, gc=False):
    """One request as its client sends it. `block_hashes` has one value per full block of
    `kv_cache.block_tokens` prompt tokens, equal prefixes hash equal; `cancel_ns` is how long after
    its arrival the client cancels, -1 for never; `wanted` is a rank index it insists on."""

    at_ns: int
    prompt_tokens: int
    output_tokens: int
    block_hashes: tuple[int, ...] = ()
    cancel_ns: int = -1
    wanted: int | None = None


class Workload(Protocol):
    """Arrivals in order of time. Deterministic: the same seed and the same ends, the same calls."""

    total: int
    """How many requests there will be in all."""

    def due_ns(self) -> int:
        """When the next known request arrives; `NEVER` if none is known (yet)."""
        ...

    def take(self) -> Arrival:
        """The next known request; only after `due_ns` said when."""
        ...

    def ended(self, now_ns: int) -> None:
        """A request has its answer: a closed loop's user thinks, then asks again."""
        ...
