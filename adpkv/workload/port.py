"""The workload port: which requests arrive when, and when their clients cancel them."""

from __future__ import annotations

from typing import Protocol

import msgspec

__all__ = ["Arrival", "Workload"]


class Arrival(msgspec.Struct, frozen=True, gc=False):
    """One request as its client sends it.

    `at_ns` is the arrival in nanoseconds from the start of the run. `block_hashes` has one value
    >= 0 per full block of `kv_cache.block_tokens` prompt tokens; equal prefixes have equal values.
    `cancel_ns` is how many nanoseconds after its arrival the client cancels; -1: never. `wanted` is
    the rank index in an instance that the client insists on; None for any. `stops_after` is with
    which of its output tokens the model stops, which no server knows before; -1: not before all of
    `output_tokens`. A request of no output tokens is over with its prompt. `deadline_ns` is for how
    many nanoseconds its client waits for its answer; -1: for any time. `client_id` is by what its
    client calls it: no two open requests may have the same; empty: it has no name.
    """

    at_ns: int
    prompt_tokens: int
    output_tokens: int
    block_hashes: tuple[int, ...] = ()
    cancel_ns: int = -1
    wanted: int | None = None
    stops_after: int = -1
    deadline_ns: int = -1
    client_id: str = ""


class Workload(Protocol):
    """Arrivals in order of time. Deterministic: with the same seed and the same times of answers it
    gives the same requests."""

    total: int
    """How many requests there will be in all."""

    def due_ns(self) -> int:
        """When the next request arrives, in nanoseconds from the start of the run; `NEVER` if there
        is none, or none before another answer (closed loop). Only `take` and `ended` may change it:
        it is remembered between them."""
        ...

    def take(self) -> Arrival:
        """Remove and return the next request. Called only if `due_ns` is not `NEVER`."""
        ...

    def ended(self, now_ns: int, number: int) -> None:
        """The request that was taken as `number`, from 0, has got its answer at `now_ns`: a closed
        loop's user may send the next one, and a session may go on."""
        ...
