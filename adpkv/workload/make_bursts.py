"""Makes a trace of long shared prefixes that comes in bursts:
`python -m adpkv.workload.make_bursts > bursts.jsonl`.

A few applications share the servers. All requests of one begin with its long system prompt, which
most of a prompt is. Requests come in bursts, one application's each (a batch job, an evaluation),
over a thin stream of single ones. So the published conversation trace, with little reuse and
evenly spread, is not the only shape that speed is measured on. All numbers are drawn by the seed;
no data of others is copied. The format is Mooncake's.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from adpkv.random_draws import exponential, integer, uniform
from adpkv.traces.mooncake import TRACE_BLOCK_TOKENS

__all__ = ["lines", "main"]

REQUESTS: Final = 12_000
SEED: Final = 2026

APPLICATIONS: Final = 12
PREFIX_BLOCKS: Final = (8, 48)
"""A system prompt has so many blocks of 512 tokens: 4,096 to 24,576 tokens."""
OWN_TOKENS: Final = (64, 2_048)
OUTPUT_TOKENS: Final = (16, 640)

IN_BURSTS: Final = 0.9
"""The share of the requests that come in bursts."""
BURST: Final = (20, 140)
"""Requests of a burst."""
BURST_MS: Final = 400
"""A burst comes within this time."""
MEAN_PAUSE_MS: Final = 22_000
"""Between the beginnings of two bursts."""


class _Request(NamedTuple):
    at_ms: int
    number: int
    application: int


def lines(requests: int = REQUESTS, seed: int = SEED) -> list[str]:
    """The lines of the trace, a JSON object each, in order of time."""
    bursts = round(requests * IN_BURSTS)
    found = [*_bursts(bursts, seed)]
    end_ms = max((one.at_ms for one in found), default=0) + BURST_MS
    found += _single(bursts, requests, end_ms, seed)
    ids: dict[tuple[int, int], int] = {}
    return [_line(one, ids, seed) for one in sorted(found)]


def _bursts(requests: int, seed: int) -> Iterator[_Request]:
    at_ms = number = burst = 0
    while number < requests:
        application = integer(0, APPLICATIONS - 1, seed, "application of burst", burst)
        size = min(integer(*BURST, seed, "size", burst), requests - number)
        for _ in range(size):
            yield _Request(at_ms + integer(0, BURST_MS, seed, "at", number), number, application)
            number += 1
        at_ms += round(MEAN_PAUSE_MS * exponential(seed, "pause", burst))
        burst += 1


def _single(first: int, end: int, end_ms: int, seed: int) -> Iterator[_Request]:
    for number in range(first, end):
        application = integer(0, APPLICATIONS - 1, seed, "application", number)
        yield _Request(int(end_ms * uniform(seed, "at", number)), number, application)


def _line(request: _Request, ids: dict[tuple[int, int], int], seed: int) -> str:
    whose = request.application
    shared = integer(*PREFIX_BLOCKS, seed, "prefix", whose)
    prompt = shared * TRACE_BLOCK_TOKENS + integer(*OWN_TOKENS, seed, "own", request.number)
    names = [(whose, place) for place in range(shared)]
    own = -(-prompt // TRACE_BLOCK_TOKENS) - shared
    names += [(APPLICATIONS + request.number, place) for place in range(own)]
    line = {
        "timestamp": request.at_ms,
        "input_length": prompt,
        "output_length": integer(*OUTPUT_TOKENS, seed, "output", request.number),
        "hash_ids": [ids.setdefault(name, len(ids)) for name in names],
    }
    return json.dumps(line)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the trace."""
    parser = argparse.ArgumentParser(
        prog="python -m adpkv.workload.make_bursts",
        description="Print a trace of long shared prefixes that comes in bursts (Mooncake's JSON).",
    )
    parser.add_argument("--requests", type=_count, default=REQUESTS, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=SEED, help="default: %(default)s")
    asked = parser.parse_args(argv)
    print("\n".join(lines(asked.requests, asked.seed)))


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {count}")
    return count


if __name__ == "__main__":
    main()
