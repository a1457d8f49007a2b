"""What every reader makes of a line: a row, and the place that errors about it name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from adpkv.core.ids import NEVER
from adpkv.errors import TraceError

__all__ = [
    "LATEST_NS",
    "MOST_TOKENS",
    "SECOND_NS",
    "UNKNOWN",
    "Format",
    "Head",
    "Place",
    "Reading",
    "Row",
]

SECOND_NS: Final = 1_000_000_000

UNKNOWN: Final = -1
"""A time that the trace does not tell."""

MOST_TOKENS: Final = 1 << 40
"""The largest length that a trace may tell."""

LATEST_NS: Final = NEVER
"""Each time of a row is earlier; what an experiment allows is checked by whoever builds it."""


class Row(msgspec.Struct, gc=False):
    """One request of a trace, with its own lengths and times.

    `at_ns` is its arrival from the start of the run, or `UNKNOWN` for a turn that only follows
    another. `hash_ids` name the whole prompt up to the end of their tokens; None if the trace tells
    no content. A row of a session has `key`, by which later rows name it as `parent`; a row with a
    parent follows the parent's answer, `think_ns` later if that is told. `answer_ns` is how long
    the recorded answer took. `cancel_ns` is how long after its arrival the client gives up.
    `adds` says that the prompt is only what the turn adds to the session so far. `fault` is what
    goes wrong with this request.
    """

    at_ns: int
    prompt_tokens: int
    output_tokens: int
    hash_ids: list[int] | None = None
    key: Any = None
    parent: Any = None
    think_ns: int = UNKNOWN
    answer_ns: int = UNKNOWN
    cancel_ns: int = UNKNOWN
    adds: bool = False
    fault: dict[str, Any] | None = None


class Place(Protocol):
    """Where a row stands."""

    def error(self, key: str, text: str) -> TraceError:
        """An error about the value of `key`; the message begins with FILE:LINE:COLUMN. An empty
        key means the row as a whole."""
        ...


class Reading(msgspec.Struct, frozen=True):
    """What a reader needs to know beside the file. `chars_per_token` turns text into lengths."""

    chars_per_token: float = 4.0
    hash_tokens: int = 0
    """Prompt tokens per hash id; 0 for what the format has."""


class Head(msgspec.Struct, frozen=True):
    """The beginning of a file, as far as formats differ by it."""

    columns: tuple[str, ...] = ()
    """The headings of a CSV file."""
    keys: frozenset[str] = frozenset()
    """The keys of the first object, in JSON lines or in a list."""
    is_list: bool = False


class Format(msgspec.Struct, frozen=True):
    """One format: how it is noticed, what it leaves to be assumed, and its reader."""

    name: str
    title: str
    fits: Callable[[Head], bool]
    rows: Callable[[Path, Reading], Iterator[tuple[Place, Row]]]
    assumed: str
    """The units, for people."""
    remark: str = ""
    """What else is taken to be so."""
    time_key: str = "timestamp"
    prompt_key: str = "input_length"
    hash_tokens: int = 0
    """Prompt tokens per hash id; 0 if there are none."""
    from_first: bool = True
    """Whether the run begins with the first row, as times are dates or are those of a longer
    recording."""
    chained: bool = False
    """Whether an id names the content of its tokens only, so that what names the prompt up to there
    must be made of all ids so far."""
    has_times: bool = True
    knows_faults: bool = False
