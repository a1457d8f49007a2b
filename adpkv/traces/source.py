"""A trace file as lines of bytes, whatever it is compressed with.

gzip and zstd are noticed by their first bytes, not by the name: published traces are renamed often.
Lines are read one by one, so a compressed file of any size takes no more memory than its longest
line.
"""

from __future__ import annotations

import gzip
import importlib
import io
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any, Final

from adpkv.errors import MissingPieceError, TraceError

__all__ = ["HEAD_BYTES", "MOST_LINE_BYTES", "MOST_WHOLE_BYTES", "has", "head", "lines", "whole"]

HEAD_BYTES: Final = 1 << 16
"""So much of a file's beginning decides which format it has."""

MOST_LINE_BYTES: Final = 1 << 26
"""The longest line that is read, 64 MiB; a longer one is another kind of file."""

MOST_WHOLE_BYTES: Final = 1 << 31
"""The largest file that is one JSON value and so must be read as a whole, 2 GiB."""

PART_BYTES: Final = 1 << 18
"""So much at once is searched for a text."""

_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_MARK: Final = b"\xef\xbb\xbf"
"""UTF-8's byte order mark, which some exports begin with."""


def head(path: Path) -> bytes:
    """The first `HEAD_BYTES` bytes of the text.

    Raises:
        TraceError: the file cannot be read.
        MissingPieceError: it is compressed with zstd, and nothing here can read that.
    """
    with _open(path) as file, _told(path, [0]):
        return bytes(file.read(HEAD_BYTES)).removeprefix(_MARK)


def lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """(number from 1, line with its end) of each line that is not blank.

    Raises:
        TraceError: the file cannot be read to its end, or a line is too long; it says where.
        MissingPieceError: as for `head`.
    """
    place = [0]
    with _open(path) as file, _told(path, place):
        read = partial(file.readline, MOST_LINE_BYTES + 1)
        for number, raw in enumerate(iter(read, b""), 1):
            place[0] = number
            if len(raw) > MOST_LINE_BYTES:
                raise TraceError(f"{path}:{number}: a line of more than {MOST_LINE_BYTES} bytes")
            line = raw.removeprefix(_MARK) if number == 1 else raw
            if not line.isspace():
                yield number, line


def has(path: Path, text: bytes) -> bool:
    """Whether `text` is anywhere in the file: much faster than a look at each line.

    Raises:
        TraceError, MissingPieceError: as for `whole`.
    """
    with _open(path) as file, _told(path, [0]):
        seen = b""
        for part in iter(partial(file.read, PART_BYTES), b""):
            seen = seen[-len(text) :] + part  # it may begin in one part and end in another
            if text in seen:
                return True
    return False


def whole(path: Path) -> bytes:
    """All of the file.

    Raises:
        TraceError: it cannot be read, or is too large to be one value.
        MissingPieceError: as for `head`.
    """
    with _open(path) as file, _told(path, [0]):
        data = bytes(file.read(MOST_WHOLE_BYTES + 1)).removeprefix(_MARK)
    if len(data) > MOST_WHOLE_BYTES:
        raise TraceError(f"{path}: larger than {MOST_WHOLE_BYTES} bytes, the most for one value")
    return data


@contextmanager
def _open(path: Path) -> Iterator[IO[bytes]]:
    with _told(path, [0]):
        raw = path.open("rb")
    with raw:
        with _told(path, [0]):
            first = raw.read(len(_ZSTD))
            raw.seek(0)
        if first.startswith(_GZIP):
            with gzip.GzipFile(fileobj=raw) as file:
                yield file  # type: ignore[misc]
        elif first == _ZSTD:
            with _zstd(path, raw) as file:
                yield file
        else:
            yield raw


@contextmanager
def _zstd(path: Path, raw: IO[bytes]) -> Iterator[IO[bytes]]:
    """The standard library has zstd from Python 3.14 on; before, the extra `zstd` does."""
    try:
        standard: Any = importlib.import_module("compression.zstd")
        made = standard.ZstdDecompressor
    except ImportError:
        made = None
    if made is None:
        try:
            zstandard: Any = importlib.import_module("zstandard")
        except ImportError:
            raise MissingPieceError(
                f"{path} is compressed with zstd, which needs Python 3.14 or the package zstandard:"
                " pip install 'adpkv[zstd]'"
            ) from None
        made = zstandard.ZstdDecompressor().decompressobj
    with io.BufferedReader(_Frames(raw, made)) as buffered:
        yield buffered


class _Frames(io.RawIOBase):
    """The frames of a zstd file, one after the other. Both libraries have the same decompressor of
    a frame; their own files differ, and one of them takes a file that is cut off for whole."""

    def __init__(self, raw: IO[bytes], made: Callable[[], Any]) -> None:
        self._raw, self._made = raw, made
        self._frame = made()
        self._begun = False
        self._found = memoryview(b"")

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """As of any raw stream.

        Raises:
            EOFError: the file ends within a frame.
        """
        while not self._found:
            if self._frame.eof:
                rest, self._frame, self._begun = self._frame.unused_data, self._made(), False
            else:
                rest = b""
            rest = rest or self._raw.read(1 << 16)
            if not rest:
                if self._begun:
                    raise EOFError("the file ends within a frame")
                return 0
            self._begun = True
            self._found = memoryview(self._frame.decompress(rest))
        count = min(len(buffer), len(self._found))
        buffer[:count] = self._found[:count]
        self._found = self._found[count:]  # a view: nothing is copied
        return count


@contextmanager
def _told(path: Path, place: list[int]) -> Iterator[None]:
    """Turn what reading raises into a `TraceError`; `place[0]` lines were read before."""
    where = ""
    try:
        yield
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        where = f"{path}:{place[0] + 1}" if place[0] else f"{path}"
        raise TraceError(f"{where}: the trace cannot be decompressed: {error}") from error
    except OSError as error:
        reason = error.strerror or str(error)
        where = f"{path}:{place[0] + 1}" if place[0] else f"{path}"
        raise TraceError(f"{where}: the trace cannot be read: {reason}") from error
    except Exception as error:
        # Neither of the zstd libraries need be there, so their errors are known by name alone.
        if type(error).__name__ != "ZstdError":
            raise
        where = f"{path}:{place[0] + 1}" if place[0] else f"{path}"
        raise TraceError(f"{where}: the trace cannot be decompressed: {error}") from error
