"""Standard output and error to which writing never raises.

They may be closed, on a full device, on a terminal that is gone, or unable to encode `µ`. None of
that may change how a run ends. So what cannot be written is dropped and noted, and at the end a
success becomes `OUTPUT_LOST`. What cannot be encoded is written in ASCII. A closed descriptor is
opened on the null device: otherwise the next file to be opened would get its number, and printed
text would go into that file.
"""

from __future__ import annotations

import codecs
import errno
import io
import os
import select
import sys
from contextlib import suppress
from typing import Any, Final, TextIO

from adpkv.exit_codes import ExitCode

__all__ = ["PLAIN", "Streams"]

PLAIN: Final = "adpkv-plain"
"""The name of the codec error handler that writes ASCII instead: for `open`, `encode` and so on."""

LETTERS: Final = {
    "µ": "u",
    "·": "|",
    "×": "x",
    "–": "-",
    "—": "-",
    "…": "...",
    "→": "->",
    "━": "-",
    "╸": "-",
    "╺": "-",
    "\N{NO-BREAK SPACE}": " ",
}
"""What is written instead of a character that we print and that cannot be encoded."""

STANDARD: Final = (0, 1, 2)


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lost = error.object[error.start : error.end]
    return "".join(LETTERS.get(letter, "?") for letter in lost), error.end


codecs.register_error(PLAIN, _plain)


class _Raw(io.FileIO):
    """A raw stream on a descriptor; what cannot be written is dropped, and `error` says why."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        """Write and return how many bytes were taken. After an error all are taken and dropped."""
        try:
            while self.error is None:
                written = super().write(data)
                if written is not None:
                    return written
                select.select([], [self.fileno()], [])  # somebody made it non-blocking
        except OSError as error:
            self.error = error
        return len(memoryview(data))


class Streams:
    """Replaces this process's stdout and stderr by safe ones. Only the console script does this; it
    calls `finish` at its end."""

    def __init__(self) -> None:
        for descriptor in STANDARD:
            try:
                os.fstat(descriptor)
            except OSError:
                os.open(os.devnull, os.O_RDWR)  # takes the lowest number, which is this one
        self._out, sys.stdout = _safe(sys.stdout, 1)
        self._err, sys.stderr = _safe(sys.stderr, 2)

    def finish(self, code: int) -> int:
        """Flush, and return the exit code of a process that would end with `code`.

        If standard output could not be written, a success becomes `OUTPUT_LOST`, and stderr says
        so, even where a run has left everything in its files. The code in those files stays.
        """
        with suppress(ValueError):
            sys.stdout.flush()
        error = self._out.error
        # A reader that closed the pipe, or a terminal that was hung up, is no loss.
        if error is None or error.errno in (errno.EPIPE, errno.EIO):
            lost = False
        else:
            lost = True
            print(f"adpkv: standard output is lost: {error.strerror}", file=sys.stderr)
        with suppress(ValueError):
            sys.stderr.flush()
        return ExitCode.OUTPUT_LOST if lost and not code else code


def _is_at(stream: TextIO, descriptor: int) -> bool:
    try:
        stream.flush()
        return stream.fileno() == descriptor
    except (OSError, ValueError):
        return False


def _safe(stream: TextIO | None, descriptor: int) -> tuple[_Raw, TextIO]:
    if stream is not None and not _is_at(stream, descriptor):
        return _Raw(descriptor), stream  # somebody in this process has replaced it: leave it
    raw = _Raw(descriptor)
    safe = io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=stream.encoding if stream is not None else "utf-8",
        errors=PLAIN,
        line_buffering=descriptor == 2 or raw.isatty(),
    )
    return raw, safe
