"""LLMServingSim's JSON lines (casys-kaist/LLMServingSim): nanoseconds; a line is a request, or a
session of `sub_requests`, each of which follows the answer before it `tool_duration_ns` later.

Where a request tells its `input_tok_ids`, equal beginnings of them are equal prompt prefixes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import msgspec

from adpkv.traces.json_rows import JsonPlace, json_lines
from adpkv.traces.row import LATEST_NS, MOST_TOKENS, UNKNOWN, Format, Place, Reading, Row

__all__ = ["BLOCK_TOKENS", "LLMSERVINGSIM"]

BLOCK_TOKENS: Final = 16
"""Token ids are made into block ids of so many, vLLM's usual block."""

Positive = Annotated[int, msgspec.Meta(ge=1, le=MOST_TOKENS)]
Nanoseconds = Annotated[int, msgspec.Meta(ge=0, lt=LATEST_NS)]


class Turn(msgspec.Struct, frozen=True, gc=False):
    """A request of a session."""

    input_toks: Positive
    output_toks: Positive
    input_tok_ids: list[int] | None = None
    tool_duration_ns: Nanoseconds = 0


class Line(msgspec.Struct, frozen=True, gc=False):
    """One line: `sub_requests`, or the keys of a single request."""

    arrival_time_ns: Nanoseconds
    input_toks: Positive | None = None
    output_toks: Positive | None = None
    input_tok_ids: list[int] | None = None
    sub_requests: list[Turn] | None = None


_DECODER: Final = msgspec.json.Decoder(Line)


def rows(path: Path, reading: Reading) -> Iterator[tuple[Place, Row]]:
    """The rows of such a file.

    Raises:
        TraceError: a line cannot be used.
    """
    tokens = reading.hash_tokens or BLOCK_TOKENS
    blocks: dict[tuple[int, ...], int] = {}
    for number, (place, line) in enumerate(json_lines(path, _DECODER)):
        think_ns = UNKNOWN
        for turn, one in enumerate(_turns(place, line)):
            is_session = line.sub_requests is not None
            yield (
                place,
                Row(
                    at_ns=UNKNOWN if turn else line.arrival_time_ns,
                    prompt_tokens=one.input_toks,
                    output_tokens=one.output_toks,
                    hash_ids=_ids(place, one, tokens, blocks),
                    key=number if is_session else None,
                    parent=number if turn else None,
                    think_ns=think_ns,
                ),
            )
            think_ns = one.tool_duration_ns


def _turns(place: JsonPlace, line: Line) -> list[Turn]:
    if line.sub_requests is not None:
        if not line.sub_requests:
            raise place.error("sub_requests", "sub_requests must not be empty")
        return line.sub_requests
    for key in ("input_toks", "output_toks"):
        if getattr(line, key) is None:
            raise place.malformed(ValueError(f"Object missing required field `{key}`"))
    assert line.input_toks is not None
    assert line.output_toks is not None
    return [Turn(line.input_toks, line.output_toks, line.input_tok_ids)]


def _ids(
    place: JsonPlace, turn: Turn, tokens: int, blocks: dict[tuple[int, ...], int]
) -> list[int] | None:
    """One id per block of token ids: the number of its content among all contents so far."""
    given = turn.input_tok_ids
    if given is None:
        return None
    if len(given) != turn.input_toks:
        raise place.error(
            "input_tok_ids", f"{len(given)} input_tok_ids for {turn.input_toks} input_toks"
        )
    cut = (tuple(given[at : at + tokens]) for at in range(0, len(given), tokens))
    return [blocks.setdefault(block, len(blocks)) for block in cut]


LLMSERVINGSIM: Final = Format(
    name="llmservingsim",
    title="LLMServingSim JSON lines",
    fits=lambda head: "arrival_time_ns" in head.keys,
    rows=rows,
    assumed="times in nanoseconds",
    time_key="arrival_time_ns",
    prompt_key="input_toks",
    hash_tokens=BLOCK_TOKENS,
    chained=True,
)
