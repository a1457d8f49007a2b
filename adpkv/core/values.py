"""What travels between coordinator, leaders and ranks about one request, as plain values."""

from __future__ import annotations

from enum import StrEnum

import msgspec

__all__ = ["Cause", "Outcome", "RequestSpec", "Response", "SenderRef", "Violation"]

"""The detail of a response by which the coordinator knows that the request failed for no fault of
its own: a job may be told to compute such a one again."""


class Outcome(StrEnum):
    """What a response says. All but PREFILLED are terminal for the client."""

    PREFILLED = "prefilled"
    """A context instance's answer to the coordinator: first token made, KV ready to be sent."""
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    FAILED = "failed"


class Cause(StrEnum):
    """Why a request ended as it did, as far as anybody decides by it. The `detail` beside it is for
    people."""

    OTHER = "other"
    PEER_LOST = "peer_lost"
    """The other end of its transfer is gone, and its KV with it."""


class SenderRef(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Where a prefilled request's KV waits: a context rank, and the blocks that hold the prompt.

    `blocks` are the sender's block ids in prompt order. The receiver needs them because both sides
    of a two-sided transfer must cut it into the same pieces (`core.content.pieces`).
    """

    rank: int
    blocks: tuple[int, ...]


class RequestSpec(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One request as an instance sees it.

    `block_hashes` has one value per *full* block of the prompt, equal prefixes hash equal;
    `wanted` is a rank index inside the instance that the client insists on;
    `sender` is set where a generation instance must fetch the KV.
    """

    request_id: int
    attempt: int
    prompt_tokens: int
    output_tokens: int
    block_hashes: tuple[int, ...] = ()
    wanted: int | None = None
    sender: SenderRef | None = None


class Response(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What one rank has to say about one request: exactly one terminal response per request.

    `tokens` its client has, the first one included. `spent` is what its server measured: a duration
    in nanoseconds for each of its columns (`core.columns`), empty where it never had it.
    """

    request_id: int
    attempt: int
    outcome: Outcome
    rank: int
    detail: str = ""
    sender: SenderRef | None = None
    spent: tuple[int, ...] = ()
    tokens: int = 0
    cause: Cause = Cause.OTHER


class Violation(msgspec.Struct, frozen=True):
    """The contract was broken and an oracle saw it: what `summary.json` lists."""

    kind: str
    rank: int
    at_ns: int
    detail: str
    requests: tuple[int, ...] = ()
    """Whom it concerns, where that can be known; their stories are told with it."""
