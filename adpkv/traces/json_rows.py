"""JSON traces: typed values line by line or as one list, with line and column in every error."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from adpkv.errors import TraceError
from adpkv.traces import source

__all__ = ["JsonPlace", "json_lines", "json_list"]

SHOWN_CHARS: Final = 100
"""How many characters of a bad line a message shows."""

_BYTE: Final = re.compile(r"\(byte (\d+)\)")
_PATH: Final = re.compile(r"at `\$([^`]*)`")

Value = TypeVar("Value")


class JsonPlace(msgspec.Struct, frozen=True, gc=False):
    """A place in JSON text: `raw` begins in this line and column of the file. Each line has one."""

    path: Path
    line: int
    raw: bytes
    column: int = 1

    def error(self, key: str, text: str) -> TraceError:
        """As `Place.error`: the column is that of the key's value, or where the object begins."""
        return TraceError(f"{self._at(_offset_of(self.raw, [key] if key else []))}: {text}")

    def malformed(self, error: Exception) -> TraceError:
        """What msgspec has found wrong, with its place and the text of its line."""
        text = str(error)
        byte, path = _BYTE.search(text), _PATH.search(text)
        steps = re.findall(r"\w+", path[1]) if path else []
        offset = int(byte[1]) if byte else _offset_of(self.raw, steps)
        if "truncated" in text:
            offset = len(self.raw.rstrip())
        if isinstance(error, RecursionError):
            text = "nested too deeply"
        start = self.raw.rfind(b"\n", 0, offset) + 1
        return TraceError(f"{self._at(offset)}: {text}; found {_shown(self.raw[start:])}")

    def _at(self, offset: int) -> str:
        before = self.raw[:offset]
        line = self.line + before.count(b"\n")
        start = before.rfind(b"\n") + 1
        column = len(before[start:].decode("utf-8", "replace"))
        return f"{self.path}:{line}:{column + (1 if start else self.column)}"


def _offset_of(raw: bytes, steps: Sequence[str]) -> int:
    """Where the value begins to which these keys and indexes lead; or the last that is there."""
    at, end = 0, len(raw)
    for step in steps:
        part = raw[at:end]
        try:
            if step.isdigit():
                values = msgspec.json.decode(part, type=list[msgspec.Raw])
                items = [(b"", bytes(one)) for one in values][: int(step) + 1]
            else:
                pairs = msgspec.json.decode(part, type=dict[str, msgspec.Raw])
                keys = list(pairs)
                wanted = keys[: keys.index(step) + 1]
                items = [(json.dumps(key).encode(), bytes(pairs[key])) for key in wanted]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
            return at
        begin = 1
        for name, value in items:
            # In the order of the text, so each is found after the one before.
            begin = max(part.find(name, begin) + len(name), begin)
            found = max(part.find(value, begin), begin)
            begin, last = found + len(value), found
        at, end = at + last, at + begin
    return at


def json_lines(
    path: Path, decoder: msgspec.json.Decoder[Value]
) -> Iterator[tuple[JsonPlace, Value]]:
    """Each line's value.

    Raises:
        TraceError: the file cannot be read, or a line has no such value.
    """
    decode = decoder.decode
    for number, raw in source.lines(path):
        place = JsonPlace(path, number, raw)
        try:
            value = decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise place.malformed(error) from error
        yield place, value


def json_list(
    path: Path, decoder: msgspec.json.Decoder[Value]
) -> Iterator[tuple[JsonPlace, Value]]:
    """The values of a file that is one list.

    Raises:
        TraceError: as `json_lines`.
    """
    data = source.whole(path)
    try:
        items = msgspec.json.decode(data, type=list[msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise JsonPlace(path, 1, data).malformed(error) from error
    line, start, line_start = 1, 0, 0
    for item in items:
        raw = bytes(item)
        # Items stand in the file one after the other, so each is found at or after the last.
        at = data.find(raw, start)
        line += data.count(b"\n", start, at)
        line_start = max(line_start, data.rfind(b"\n", start, at) + 1)
        column = len(data[line_start:at].decode("utf-8", "replace")) + 1
        place = JsonPlace(path, line, raw, column)
        line += raw.count(b"\n")
        start = at + len(raw)
        line_start = max(line_start, data.rfind(b"\n", at, start) + 1)
        try:
            value = decoder.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise place.malformed(error) from error
        yield place, value


def _shown(raw: bytes) -> str:
    text = raw.strip()[: 4 * SHOWN_CHARS + 4].split(b"\n")[0].decode("utf-8", "backslashreplace")
    return repr(text if len(text) <= SHOWN_CHARS else text[:SHOWN_CHARS] + "…")
