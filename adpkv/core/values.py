"""The values about requests that coordinator, leaders and ranks send each other."""

from __future__ import annotations

from enum import StrEnum

import msgspec

__all__ = ["Cause", "Outcome", "RequestSpec", "Response", "SenderRef", "Violation"]


class Outcome(StrEnum):
    """The outcome that a response reports. All but PREFILLED are terminal for the client."""

    PREFILLED = "prefilled"
    """A context instance's answer to the coordinator: the first token is made, and the KV is ready
    to be sent."""
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"
    FAILED = "failed"
    REFUSED = "refused"
    """It was not admitted: too much waits already, or its client's id is in use."""


class Cause(StrEnum):
    """Why a request ended, as far as the coordinator decides by it. `detail` is for people."""

    OTHER = "other"
    PEER_LOST = "peer_lost"
    """The rank at the other end of its transfer has failed, and its KV is lost."""


class SenderRef(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Where a prefilled request's KV waits: a context rank, and the blocks that hold the prompt.

    `rank` is a world rank; `blocks` are its block ids in prompt order. The receiver needs them
    because both sides must cut the transfer into the same pieces (`core.content.pieces`).
    """

    rank: int
    blocks: tuple[int, ...]


class RequestSpec(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One request as an instance gets it.

    `block_hashes` has one value >= 0 per *full* block of the prompt; equal prefixes have equal
    values. `wanted` is the index of the rank in the instance that the client insists on. `sender`
    is set for a generation instance, which must fetch the KV there. `attempt` counts from 0.
    `output_tokens` are asked for, and room is made for all of them; with `stops_after` of them the
    output ends earlier (-1: it does not), which nobody may use to plan.
    """

    request_id: int
    attempt: int
    prompt_tokens: int
    output_tokens: int
    block_hashes: tuple[int, ...] = ()
    wanted: int | None = None
    sender: SenderRef | None = None
    stops_after: int = -1


class Response(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One rank's answer about one request. Each request gets exactly one terminal response.

    `tokens` is how many tokens its client has, the first one included. `spent` has the nanoseconds
    that the server measured for each of its columns (`core.columns`); it is empty if no rank of the
    server ever had the request.
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
    """A breach of the contract that an oracle (a run-time check) found, as `summary.json` lists it.

    `at_ns` is in nanoseconds since the run began; `rank` is -1 for the coordinator.
    """

    kind: str
    rank: int
    at_ns: int
    detail: str
    requests: tuple[int, ...] = ()
    """The requests concerned, if they are known; their histories are printed with it."""
