"""Which formats there are, and which one a file has: by its content, never by its name."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Final

import msgspec

from adpkv.errors import TraceError
from adpkv.traces import source
from adpkv.traces.row import Format, Head

__all__ = ["FORMATS", "assumed", "format_of", "notice"]

OBJECTS: Final = "objects"
TABLE: Final = "table"
LIST: Final = "list"

FORMATS: Final = {
    "bailian": OBJECTS,
    "llmservingsim": OBJECTS,
    "azure": TABLE,
    "burstgpt": TABLE,
    "vidur": TABLE,
    "sharegpt": LIST,
    "mooncake": OBJECTS,
}
"""The modules of the formats -> what a file consists of. In the order in which they are tried: what
has fewer marks of its own comes later. Only those that a file may have are imported."""

_KEY: Final = re.compile(rb'"(\w+)"\s*:')


def format_of(module: str) -> Format:
    """The format of a module of `FORMATS`, which has its name."""
    found: Format = getattr(import_module(f"adpkv.traces.{module}"), module.upper())
    return found


def notice(path: Path) -> Format:
    """The format of a file.

    Raises:
        TraceError: the file cannot be read, or is of no format that is known.
        MissingPieceError: it is compressed in a way that nothing here can read.
    """
    beginning = source.head(path).lstrip()
    if not beginning:
        raise TraceError(f"{path}:1: the trace is empty, at least one request is needed")
    head = _head(beginning)
    consists = TABLE if head.columns else LIST if head.is_list else OBJECTS
    for module in [name for name, of in FORMATS.items() if of == consists]:
        if (one := format_of(module)).fits(head):
            return one
    known = "; ".join(one.title for one in map(format_of, FORMATS))
    found = ", ".join(head.columns)[:100]
    raise TraceError(
        f"{path}:1:1: the headings {found!r} are those of no trace that is known: {known}"
    )


def assumed(found: Format, hash_tokens: int = 0) -> str:
    """What is assumed about a file of this format, in words: units, block size, and the rest."""
    tokens = hash_tokens or found.hash_tokens
    ids = f"{tokens} tokens per hash id" if tokens else "no hash ids"
    start = ", counted from the first row" if found.from_first else ""
    remark = f"; {found.remark}" if found.remark else ""
    return f"{found.title}: {found.assumed}{start}; {ids}{remark}"


def _head(beginning: bytes) -> Head:
    line = beginning.split(b"\n", 1)[0].strip()
    if beginning[:1] == b"[":
        # A line that is a list is a list of conversations only if there are objects in it.
        return Head(is_list=beginning[1:].lstrip()[:1] == b"{")
    if beginning[:1] == b"{":
        try:
            keys = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            # Cut at the end of the head, or broken: its reader will say where.
            return Head(keys=frozenset(key.decode() for key in _KEY.findall(line)))
        return Head(keys=frozenset(keys))
    text = line.decode("utf-8", "replace")
    if "," not in text or not text.isprintable():
        return Head()
    import csv  # no other file needs it

    from adpkv.traces.csv_rows import columns_of

    try:
        return Head(columns=columns_of(text))
    except csv.Error:
        return Head()
