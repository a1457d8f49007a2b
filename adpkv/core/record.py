"""What the coordinator knows about each request at its end: one line of `requests.jsonl`."""

from __future__ import annotations

import msgspec

from adpkv.core.values import Outcome

__all__ = ["RequestRecord"]


class RequestRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One request, whole. Times are nanoseconds since the run began, durations nanoseconds; -1
    where it never came so far. Ranks are world ranks, instances indexes of the topology."""

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
    ended_ns: int = -1
    queue_ns: int = 0
    transfer_ns: int = -1
    decode_ns: int = -1
    tokens: int = 0
    cancelled_ns: int = -1
    responses: int = 0
    recomputed: int = 0
