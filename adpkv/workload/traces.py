"""Arrivals from a trace in Mooncake's JSONL format.

Source of the format: kvcache-ai/Mooncake, `FAST25-release/traces` (docs/workloads.md). The whole
file is read and checked at once, and kept as columns: a million Python integers would take 32 MB,
so block ids stay in an array until their request is taken.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import msgspec

from adpkv.core.content import blocks_for
from adpkv.core.ids import LAST_NS, NEVER
from adpkv.errors import TraceError
from adpkv.workload.cancels import Clients
from adpkv.workload.port import Arrival

__all__ = ["TRACE_BLOCK_TOKENS", "Limits", "Scaling", "Trace", "TraceWorkload", "read"]

TRACE_BLOCK_TOKENS: Final = 512
"""Prompt tokens per id in `hash_ids`."""

NS_PER_MS: Final = 1_000_000
SHOWN_CHARS: Final = 100
"""How many characters of a bad line a message shows."""

MOST_TOKENS: Final = 1 << 40
"""The largest length, also after scaling."""

Positive = Annotated[int, msgspec.Meta(ge=1, le=MOST_TOKENS)]
Milliseconds = Annotated[float, msgspec.Meta(ge=0)]
BlockHash = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]
"""Limited so that it is still a 64-bit number after multiplication by 512."""


class Line(msgspec.Struct, frozen=True, gc=False):
    """One line of a trace. Other keys are ignored, as some publishers add their own.

    `timestamp` is the arrival in milliseconds, lengths are tokens, and `hash_ids` has one id per
    `TRACE_BLOCK_TOKENS` prompt tokens, the last part included.
    """

    timestamp: Milliseconds
    input_length: Positive
    output_length: Positive
    hash_ids: list[BlockHash]


@dataclass(frozen=True, slots=True)
class Limits:
    """What the servers can hold, in blocks per request and per prompt; a larger request could never
    be served."""

    block_tokens: int
    most_blocks: int
    most_prompt_blocks: int


@dataclass(frozen=True, slots=True)
class Scaling:
    """How a trace is adapted to the servers: its first `limit` requests, `speed` times as fast,
    with prompt and output lengths multiplied (rounded, at least 1 token)."""

    limit: int | None = None
    speed: float = 1.0
    prompt: float = 1.0
    output: float = 1.0


class Trace:
    """The requests of a trace as columns; `ids` of request n are `ids[first_id[n]:][:id_count]`."""

    __slots__ = ("at_ns", "first_id", "ids", "known_tokens", "output_tokens", "prompt_tokens")

    def __init__(self) -> None:
        self.at_ns = array("q")
        self.prompt_tokens = array("q")
        self.output_tokens = array("q")
        self.known_tokens = array("q")
        """Prompt tokens whose content the ids identify: not all if scaling made the prompt
        longer."""
        self.ids = array("q")
        self.first_id = array("q", [0])

    def __len__(self) -> int:
        return len(self.at_ns)

    def columns(self) -> list[array[int]]:
        """All columns."""
        return [getattr(self, name) for name in self.__slots__]

    def hashes(self, number: int, block_tokens: int) -> tuple[int, ...]:
        """The prefix hashes of request `number`: one value per full block of `block_tokens` of the
        part of its prompt that the ids identify.

        An id identifies the whole prompt up to the end of its 512 tokens. So the hash of a block of
        several times 512 tokens is its last id; the hash of a smaller block is made from the id of
        its 512 tokens and its place among them.
        """
        ids = self.ids[self.first_id[number] : self.first_id[number + 1]]
        blocks = self.known_tokens[number] // block_tokens
        if block_tokens >= TRACE_BLOCK_TOKENS:
            stride = block_tokens // TRACE_BLOCK_TOKENS
            return tuple(ids[stride - 1 : blocks * stride : stride])
        parts = TRACE_BLOCK_TOKENS // block_tokens
        return tuple([ids[i // parts] * parts + i % parts for i in range(blocks)])


class TraceWorkload:
    """A trace as a `Workload`: arrivals are those of the trace and do not depend on answers."""

    def __init__(self, trace: Trace, clients: Clients, block_tokens: int) -> None:
        self.total = len(trace)
        self._trace, self._clients, self._block_tokens = trace, clients, block_tokens
        self._number = 0
        self._due_ns = trace.at_ns[0] if self.total else NEVER

    @property
    def tokens(self) -> int:
        """Prompt and output tokens of all requests together."""
        return sum(self._trace.prompt_tokens) + sum(self._trace.output_tokens)

    @property
    def nbytes(self) -> int:
        """How many bytes of memory the trace takes."""
        return sum(column.itemsize * len(column) for column in self._trace.columns())

    def due_ns(self) -> int:
        """When the next request arrives; `NEVER` after the last."""
        return self._due_ns

    def take(self) -> Arrival:
        """Remove and return the next request.

        Raises:
            IndexError: all requests were taken.
        """
        number, trace = self._number, self._trace
        if number >= self.total:
            raise IndexError(f"all {self.total} requests were taken")
        self._number += 1
        self._due_ns = trace.at_ns[number + 1] if number + 1 < self.total else NEVER
        return Arrival(
            at_ns=trace.at_ns[number],
            prompt_tokens=trace.prompt_tokens[number],
            output_tokens=trace.output_tokens[number],
            block_hashes=trace.hashes(number, self._block_tokens),
            cancel_ns=self._clients.cancel_ns(number),
            wanted=self._clients.wanted(number),
        )

    def ended(self, now_ns: int) -> None:
        """Nothing to do: arrivals do not depend on answers."""


def read(path: Path, limits: Limits, scaling: Scaling) -> Trace:
    """Read a trace file.

    Lines that are not in order of time are refused, not sorted: such a file nearly always has a
    wrong unit or is two files in one, and "the first `limit` requests" would have two meanings.

    Raises:
        TraceError: the file cannot be read, or a line cannot be used; the message begins with
            FILE:LINE.
    """
    trace = Trace()
    for number, line in _lines(path):
        where = f"{path}:{number}"
        _add(trace, line, where, limits, scaling)
        if scaling.limit is not None and len(trace) >= scaling.limit:
            break
    if not trace:
        raise TraceError(f"{path}:1: the trace is empty, at least one request is needed")
    return trace


def _lines(path: Path) -> Iterator[tuple[int, Line]]:
    decode = msgspec.json.Decoder(Line).decode
    number, raw = 0, b""
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(file, 1):
                if not raw.isspace():
                    yield number, decode(raw)
    except OSError as error:
        reason = error.strerror or str(error)
        where = f"{path}:{number + 1}" if number else f"{path}"
        raise TraceError(f"{where}: the trace cannot be read: {reason}") from error
    except RecursionError as error:
        raise TraceError(f"{path}:{number}: nested too deeply; found {_shown(raw)}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise TraceError(f"{path}:{number}: {error}; found {_shown(raw)}") from error


def _add(trace: Trace, line: Line, where: str, limits: Limits, scaling: Scaling) -> None:
    expected = blocks_for(line.input_length, TRACE_BLOCK_TOKENS)
    if len(line.hash_ids) != expected:
        raise TraceError(
            f"{where}: {len(line.hash_ids)} hash_ids for {line.input_length} prompt tokens,"
            f" expected {expected} (one per {TRACE_BLOCK_TOKENS} tokens, the last part included)"
        )
    at = line.timestamp * NS_PER_MS / scaling.speed
    if not at <= LAST_NS:
        raise TraceError(f"{where}: timestamp {line.timestamp:g} ms is too large")
    at_ns = round(at)
    if trace and at_ns < trace.at_ns[-1]:
        raise TraceError(
            f"{where}: timestamp {line.timestamp:g} ms is before that of the line above;"
            " lines must be in order of time"
        )
    prompt = _scaled(line.input_length, scaling.prompt)
    output = _scaled(line.output_length, scaling.output)
    _check_fits(prompt, output, where, limits)
    trace.at_ns.append(at_ns)
    trace.prompt_tokens.append(prompt)
    trace.output_tokens.append(output)
    trace.known_tokens.append(min(prompt, line.input_length))
    trace.ids.extend(line.hash_ids)
    trace.first_id.append(len(trace.ids))


def _scaled(tokens: int, factor: float) -> int:
    return max(1, round(min(tokens * factor, MOST_TOKENS)))


def _check_fits(prompt: int, output: int, where: str, limits: Limits) -> None:
    blocks = blocks_for(prompt + output, limits.block_tokens)
    if blocks > limits.most_blocks:
        raise TraceError(
            f"{where}: a request of {prompt} prompt and {output} output tokens needs {blocks}"
            f" blocks, a rank's pool has {limits.most_blocks} to give (kv_cache.blocks less the"
            " reserved one)"
        )
    prompt_blocks = blocks_for(prompt, limits.block_tokens)
    if prompt_blocks > limits.most_prompt_blocks:
        raise TraceError(
            f"{where}: a prompt of {prompt} tokens is a transfer of {prompt_blocks} blocks,"
            f" transceiver.max_inflight_blocks_per_peer is {limits.most_prompt_blocks}"
        )


def _shown(raw: bytes) -> str:
    text = raw.decode("utf-8", "backslashreplace").strip()
    return repr(text if len(text) <= SHOWN_CHARS else text[:SHOWN_CHARS] + "…")
