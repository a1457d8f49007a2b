"""Qwen-Bailian's JSON lines (alibaba-edu/qwen-bailian-usagetraces-anon): seconds, ids of 16 tokens.

A row has its `chat_id`, and names the turn before it as `parent_chat_id`, -1 for none. Each row is
the whole prompt. An id is a hash of its 16 tokens alone, so ids are chained to name the prefix.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import msgspec

from adpkv.core.content import blocks_for
from adpkv.traces.json_rows import json_lines
from adpkv.traces.row import LATEST_NS, MOST_TOKENS, SECOND_NS, Format, Place, Reading, Row

__all__ = ["BAILIAN", "BLOCK_TOKENS"]

BLOCK_TOKENS: Final = 16
"""Prompt tokens per id in `hash_ids`."""

Positive = Annotated[int, msgspec.Meta(ge=1, le=MOST_TOKENS)]


class Line(msgspec.Struct, frozen=True, gc=False):
    """One line; `type` and `turn` mean nothing here."""

    chat_id: int
    timestamp: Annotated[float, msgspec.Meta(ge=0)]
    input_length: Positive
    output_length: Annotated[int, msgspec.Meta(ge=0, le=MOST_TOKENS)]
    hash_ids: list[int]
    parent_chat_id: int = -1


_DECODER: Final = msgspec.json.Decoder(Line)


def rows(path: Path, reading: Reading) -> Iterator[tuple[Place, Row]]:
    """The rows of such a file; an answer of 0 tokens counts as one of 1.

    Raises:
        TraceError: a line cannot be used.
    """
    tokens = reading.hash_tokens or BLOCK_TOKENS
    for place, line in json_lines(path, _DECODER):
        most = blocks_for(line.input_length, tokens)
        # Whether the last, partial block has an id differs between releases.
        if len(line.hash_ids) not in (most, line.input_length // tokens):
            raise place.error(
                "hash_ids",
                f"{len(line.hash_ids)} hash_ids for {line.input_length} prompt tokens, expected"
                f" {most} (one per {tokens} tokens)",
            )
        if not line.timestamp * SECOND_NS < LATEST_NS:
            raise place.error("timestamp", f"timestamp {line.timestamp:g} s is too large")
        yield (
            place,
            Row(
                at_ns=round(line.timestamp * SECOND_NS),
                prompt_tokens=line.input_length,
                output_tokens=max(1, line.output_length),
                hash_ids=line.hash_ids,
                key=line.chat_id,
                parent=None if line.parent_chat_id < 0 else line.parent_chat_id,
            ),
        )


BAILIAN: Final = Format(
    name="bailian",
    title="Qwen-Bailian JSON lines",
    fits=lambda head: {"chat_id", "hash_ids"} <= head.keys,
    rows=rows,
    assumed="times in seconds",
    hash_tokens=BLOCK_TOKENS,
    chained=True,
)
