"""What the coordinator records about each request at its end: one line of `requests.jsonl`."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec.structs import astuple

from adpkv.core.columns import COLUMNS
from adpkv.core.values import Outcome

__all__ = ["COLUMN_FIELDS", "RequestRecord"]

COLUMN_FIELDS: Final = tuple(f"{column}_ns" for column in COLUMNS)
"""The fields of a record whose sum is the request's whole time, in order."""


class RequestRecord(msgspec.Struct, frozen=True):
    """One request from arrival to end.

    Times are nanoseconds since the run began, durations are nanoseconds. -1 means that the request
    never came that far. Ranks are world ranks; instances are indexes into the topology.

    The columns, from `coordinator_queue_ns` to `lost_attempts_ns`, add up to `ended_ns` -
    `arrival_ns` exactly, however the request ended (`docs/metrics.md` says what each is).
    """

    request_id: int
    arrival_ns: int
    prompt_tokens: int
    output_tokens: int
    outcome: Outcome
    detail: str
    context_instance: int = -1
    context_rank: int = -1
    generation_instance: int = -1
    generation_rank: int = -1
    first_token_ns: int = -1
    """When its client had the first token."""
    ended_ns: int = -1
    coordinator_queue_ns: int = 0
    context_queue_ns: int = 0
    prefill_ns: int = 0
    hand_over_ns: int = 0
    block_wait_ns: int = 0
    slot_wait_ns: int = 0
    peer_slot_wait_ns: int = 0
    kv_transfer_ns: int = 0
    decode_queue_ns: int = 0
    decode_ns: int = 0
    lost_attempts_ns: int = 0
    tokens: int = 0
    """How many tokens its client has."""
    cancelled_ns: int = -1
    responses: int = 0
    recomputed: int = 0
    retry_of: int = -1
    """The request that its client sent first, if it sends it again; -1 if this is the first."""
    client_id: str = ""
    """By what its client calls it; empty if it has no name."""

    def columns(self) -> tuple[int, ...]:
        """Its time per column in nanoseconds, in the order of `core.columns.COLUMNS`."""
        columns: tuple[int, ...] = astuple(self)[_FIRST:_END]
        return columns


_FIRST: Final = RequestRecord.__struct_fields__.index(COLUMN_FIELDS[0])
_END: Final = _FIRST + len(COLUMN_FIELDS)
"""The places of the columns, which are side by side."""
