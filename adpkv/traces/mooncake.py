"""Mooncake's JSON lines, with AIPerf's additional keys and ours.

Sources: kvcache-ai/Mooncake, `FAST25-release/traces`; AIPerf's `mooncake_trace`
(ai-dynamo/aiperf, docs/benchmark-modes/trace-replay.md), whose rows with a `session_id` tell only
what the turn adds to the conversation. Ours are `session` (whole prompts), `think_ms`, `cancel_ms`,
`deadline_ms` and `fault`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

from adpkv.core.content import blocks_for
from adpkv.traces.json_rows import JsonPlace, json_lines
from adpkv.traces.row import LATEST_NS, MOST_TOKENS, UNKNOWN, Format, Place, Reading, Row

__all__ = ["MOONCAKE", "NS_PER_MS", "TRACE_BLOCK_TOKENS", "Line"]

TRACE_BLOCK_TOKENS: Final = 512
"""Prompt tokens per id in `hash_ids`."""

NS_PER_MS: Final = 1_000_000

Positive = Annotated[int, msgspec.Meta(ge=1, le=MOST_TOKENS)]
Milliseconds = Annotated[float, msgspec.Meta(ge=0)]
BlockHash = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]
"""Limited so that it is still a 64-bit number after multiplication by 512."""


class Line(msgspec.Struct, frozen=True, gc=False):
    """One line. Other keys are ignored, as some publishers add their own.

    `timestamp` is the arrival in milliseconds, lengths are tokens, and `hash_ids` has one id per
    `TRACE_BLOCK_TOKENS` prompt tokens, the last part included. `delay` is AIPerf's name of
    `think_ms`. A line with a `fault` and no length is the fault of an instant.
    """

    timestamp: Milliseconds | None = None
    input_length: Positive | None = None
    output_length: Positive | None = None
    hash_ids: list[BlockHash] | None = None
    text_input: str | None = None
    messages: list[dict[str, Any]] | None = None
    message_mode: str = "history"
    session_id: str | int | None = None
    session: str | int | None = None
    delay: Milliseconds | None = None
    think_ms: Milliseconds | None = None
    cancel_ms: Milliseconds | None = None
    deadline_ms: Milliseconds | None = None
    fault: dict[str, Any] | None = None


_DECODER: Final = msgspec.json.Decoder(Line)


def rows(path: Path, reading: Reading) -> Iterator[tuple[Place, Row]]:
    """The rows of such a file.

    Raises:
        TraceError: a line cannot be used.
    """
    hash_tokens = reading.hash_tokens or TRACE_BLOCK_TOKENS
    seen: set[object] = set()
    for place, line in json_lines(path, _DECODER):
        if line.fault is not None and line.input_length is None and line.output_length is None:
            continue
        yield place, _row(place, line, reading, hash_tokens, seen)


def _row(
    place: JsonPlace, line: Line, reading: Reading, hash_tokens: int, seen: set[object]
) -> Row:
    prompt = _prompt(place, line, reading)
    if line.output_length is None:
        raise place.malformed(ValueError("Object missing required field `output_length`"))
    session = line.session_id if line.session is None else line.session
    follows = session is not None and session in seen
    think = line.think_ms if line.delay is None else line.delay
    if line.timestamp is None and (think is None or not follows):
        raise place.malformed(ValueError("Object missing required field `timestamp`"))
    ids = line.hash_ids
    if ids is not None and len(ids) != blocks_for(prompt, hash_tokens):
        raise place.error(
            "hash_ids",
            f"{len(ids)} hash_ids for {prompt} prompt tokens, expected"
            f" {blocks_for(prompt, hash_tokens)} (one per {hash_tokens} tokens, the last part"
            " included)",
        )
    if session is not None:
        seen.add(session)
    cancel_ms = line.cancel_ms
    if cancel_ms is None or (line.deadline_ms is not None and line.deadline_ms < cancel_ms):
        cancel_ms = line.deadline_ms
    # AIPerf's `messages` are the whole conversation unless they say otherwise.
    adds = line.session is None and (line.messages is None or line.message_mode == "delta")
    return Row(  # by place: by name it takes three times as long
        _ns(place, "timestamp", line.timestamp),
        prompt,
        line.output_length,
        ids,
        session,
        session,
        _ns(place, "think_ms" if line.delay is None else "delay", think),
        UNKNOWN,
        _ns(place, "cancel_ms", cancel_ms),
        adds,
        line.fault,
    )


def _prompt(place: JsonPlace, line: Line, reading: Reading) -> int:
    if line.input_length is not None:
        return line.input_length
    if line.text_input is not None:
        return max(1, round(len(line.text_input) / reading.chars_per_token))
    if line.messages is not None:
        chars = sum(len(str(message.get("content", ""))) for message in line.messages)
        return max(1, round(chars / reading.chars_per_token))
    raise place.malformed(ValueError("Object missing required field `input_length`"))


def _ns(place: JsonPlace, key: str, ms: float | None) -> int:
    if ms is None:
        return UNKNOWN
    if not ms * NS_PER_MS < LATEST_NS:
        raise place.error(key, f"{key} {ms:g} ms is too large")
    return round(ms * NS_PER_MS)


MOONCAKE: Final = Format(
    name="mooncake",
    title="Mooncake JSON lines",
    # The keys may be broken in the first line: then this reader says what is wrong with it.
    fits=lambda head: not head.columns and not head.is_list,
    rows=rows,
    assumed="times in milliseconds from the start of the run",
    hash_tokens=TRACE_BLOCK_TOKENS,
    from_first=False,
    knows_faults=True,
)
