"""Makes the packaged sample trace: `python -m adpkv.workload.make_sample > sample.jsonl`.

The sample has conversations of a few turns, which all begin with the same system prompt. The prompt
of a turn is the conversation so far and new text. So prefixes are shared as in a published trace,
but all numbers are drawn here, and no data of others is copied.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

from adpkv.random_draws import exponential, integer, uniform
from adpkv.traces.mooncake import TRACE_BLOCK_TOKENS

__all__ = ["lines", "main"]

SEED: Final = 2026
LINES: Final = 200
CONVERSATIONS: Final = 90
MEAN_START_GAP_MS: Final = 700
MEAN_THINK_MS: Final = 8_000
MS_PER_OUTPUT_TOKEN: Final = 20
SYSTEM_TOKENS: Final = 1_200
MOST_TURNS: Final = 5
MOST_PROMPT_TOKENS: Final = 6_000
USER_TOKENS: Final = (20, 1_200)
OUTPUT_TOKENS: Final = (1, 240)
ANOTHER_TURN: Final = 0.7


def lines() -> list[str]:
    """The lines of the sample, a JSON object each, in order of time."""
    turns = [turn for start in _starts() for turn in _conversation(*start)]
    turns.sort(key=lambda turn: (turn[0], turn[1]))
    ids: dict[tuple[int, int, int], int] = {}
    return [_line(ids, *turn) for turn in turns[:LINES]]


def main() -> None:
    """Print the sample."""
    print("\n".join(lines()))


Turn = tuple[int, int, int, int]
"""(when in ms, conversation, prompt tokens, output tokens)."""


def _starts() -> Iterator[tuple[int, int]]:
    at_ms = 0
    for conversation in range(CONVERSATIONS):
        yield conversation, at_ms
        at_ms += round(MEAN_START_GAP_MS * exponential(SEED, "start", conversation))


def _conversation(conversation: int, at_ms: int) -> Iterator[Turn]:
    prompt = SYSTEM_TOKENS
    for turn in range(MOST_TURNS):
        key = (conversation, turn)
        prompt += integer(*USER_TOKENS, SEED, "user", *key)
        output = integer(*OUTPUT_TOKENS, SEED, "output", *key)
        if prompt > MOST_PROMPT_TOKENS:
            return
        yield at_ms, conversation, prompt, output
        if uniform(SEED, "another turn", *key) >= ANOTHER_TURN:
            return
        prompt += output
        at_ms += output * MS_PER_OUTPUT_TOKEN
        at_ms += round(MEAN_THINK_MS * exponential(SEED, "think", *key))


def _line(
    ids: dict[tuple[int, int, int], int],
    at_ms: int,
    conversation: int,
    prompt: int,
    output: int,
) -> str:
    found = []
    for first in range(0, prompt, TRACE_BLOCK_TOKENS):
        end = min(first + TRACE_BLOCK_TOKENS, prompt)
        # Blocks within the system prompt are the same for all conversations. A partly filled block
        # has another content, and so another id, once it is full.
        whose = -1 if end <= SYSTEM_TOKENS else conversation
        found.append(ids.setdefault((whose, first, end), len(ids)))
    return json.dumps(
        {
            "timestamp": at_ms,
            "input_length": prompt,
            "output_length": output,
            "hash_ids": found,
        }
    )


if __name__ == "__main__":
    main()
