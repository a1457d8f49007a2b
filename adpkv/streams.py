"""Standard output and error that never fail whoever writes to them.

They may be closed, a full device, a terminal that is gone, or unable to write `µ`. None of that is
a reason to end a run otherwise than it ends. So what cannot be written is dropped and noted, and
turns a success into lost output when all is over; what cannot be encoded is written in plain
letters; and a closed descriptor becomes the null device: otherwise the next file that is opened
takes its number, and what is printed goes into that.
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
"""The name of the error handler: for `open`, `encode` and their like."""

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
"""What stands for what we print where it cannot be encoded."""

STANDARD: Final = (0, 1, 2)


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lost = error.object[error.start : error.end]
    return "".join(LETTERS.get(letter, "?") for letter in lost), error.end


codecs.register_error(PLAIN, _plain)


class _Raw(io.FileIO):
    """A descriptor; what it does not take is gone."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        """As much as the descriptor takes, or all where it is dropped, now and from now on."""
        try:
            while self.error is None:
                written = super().write(data)
                if written is not None:
                    return written
                select.select([], [self.fileno()], [])  # somebody made it one that does not wait
        except OSError as error:
            self.error = error
        return len(memoryview(data))


class Streams:
    """This process's standard output and error, made safe. For the console script alone: `finish`
    when all is said."""

    def __init__(self) -> None:
        for descriptor in STANDARD:
            try:
                os.fstat(descriptor)
            except OSError:
                os.open(os.devnull, os.O_RDWR)  # takes the lowest number, which is this one
        self._out, sys.stdout = _safe(sys.stdout, 1)
        self._err, sys.stderr = _safe(sys.stderr, 2)

    def finish(self, code: int) -> int:
        """The exit code of a process that would end with `code`; says on stderr what of its output
        is lost. Who asked for it and got nothing is not told that all went well: also where a run
        has left all of it in its files, whose code stays what it is."""
        with suppress(ValueError):
            sys.stdout.flush()
        error = self._out.error
        # Who closes a pipe has read enough.
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
        return _Raw(descriptor), stream  # somebody in this process listens to it: theirs
    raw = _Raw(descriptor)
    safe = io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=stream.encoding if stream is not None else "utf-8",
        errors=PLAIN,
        line_buffering=descriptor == 2 or raw.isatty(),
    )
    return raw, safe
