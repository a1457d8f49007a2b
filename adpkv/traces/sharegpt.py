"""ShareGPT: one JSON list of conversations, as texts without times.

Each answer of the assistant is a request: its prompt is all that was said before. Lengths follow
from the characters, as a tokenizer would have to be that of the model. Arrivals are drawn: the
workload gives a rate at which conversations start.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from adpkv.traces.json_rows import json_list
from adpkv.traces.row import UNKNOWN, Format, Place, Reading, Row

__all__ = ["SHAREGPT"]

ANSWERS: Final = frozenset({"gpt", "assistant", "chatgpt", "bing", "bard", "model"})
"""Who answers; whatever anybody else says belongs to a prompt."""


class Said(msgspec.Struct, frozen=True, gc=False):
    """One message. `from` and `value` are ShareGPT's own keys, the others those of a variant."""

    said_by: str | None = msgspec.field(name="from", default=None)
    value: str | None = None
    role: str | None = None
    content: str | None = None


class Conversation(msgspec.Struct, frozen=True, gc=False):
    """One conversation; some exports name the list `conversation` or `messages`."""

    conversations: list[Said] | None = None
    conversation: list[Said] | None = None
    messages: list[Said] | None = None


_DECODER: Final = msgspec.json.Decoder(Conversation)


def rows(path: Path, reading: Reading) -> Iterator[tuple[Place, Row]]:
    """The rows of such a file: turns of one conversation after the other. What has no answer, and
    an answer to nothing, is no request.

    Raises:
        TraceError: an entry cannot be used.
    """
    for number, (place, entry) in enumerate(json_list(path, _DECODER)):
        said = entry.conversations or entry.conversation or entry.messages
        if said is None:
            if entry.conversations is None and entry.messages is None:
                raise place.error("", "no conversations in this entry")
            continue
        before = 0
        turn = 0
        for one in said:
            if one.value is None and one.content is None:
                raise place.error("", "a message without a text (`value`, or `content`)")
            chars = len(one.value if one.value is not None else one.content or "")
            if (one.said_by or one.role or "") in ANSWERS and before and chars:
                yield (
                    place,
                    Row(
                        at_ns=UNKNOWN,
                        prompt_tokens=max(1, round(before / reading.chars_per_token)),
                        output_tokens=max(1, round(chars / reading.chars_per_token)),
                        key=number,
                        parent=number if turn else None,
                    ),
                )
                turn += 1
            before += chars


SHAREGPT: Final = Format(
    name="sharegpt",
    title="ShareGPT JSON",
    fits=lambda head: head.is_list,
    rows=rows,
    assumed="no times, so conversations start at a rate that is given; lengths by characters",
    from_first=False,
    has_times=False,
)
