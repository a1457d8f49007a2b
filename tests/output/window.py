"""A terminal emulator behind a real pseudo-terminal: what a person would see."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import struct
import subprocess
import sys
import termios
import time
import tty
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import pyte

__all__ = ["Window", "watch"]

ROWS = 24
HISTORY = 2000
CHUNK = 65536


class Window:
    """So many columns; `stream` is the end that programs write to."""

    def __init__(self, columns: int, encoding: str = "utf-8") -> None:
        self._ours, theirs = os.openpty()
        self._screen = pyte.HistoryScreen(columns, ROWS, history=HISTORY)
        self._emulator = pyte.ByteStream(self._screen)
        self.stream: IO[str] = open(theirs, "w", encoding=encoding)  # noqa: SIM115
        self.resize(columns)

    def __enter__(self) -> Window:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        with suppress(OSError):
            self.stream.close()
        self.hang_up()

    def resize(self, columns: int) -> None:
        """As a person who pulls at its edge; what stands there stays where it is."""
        self.heard()
        size = struct.pack("HHHH", ROWS, columns, 0, 0)
        fcntl.ioctl(self.stream.fileno(), termios.TIOCSWINSZ, size)
        self._screen.resize(ROWS, columns)

    def heard(self, wait_s: float = 0) -> bool:
        """Take in what was written; whether there was anything, within `wait_s`."""
        any_at_all = False
        while self._ours >= 0 and select.select([self._ours], [], [], wait_s)[0]:
            try:
                data = os.read(self._ours, CHUNK)
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
                return any_at_all  # nobody has it open any more
            self._emulator.feed(data)
            any_at_all, wait_s = True, 0
        return any_at_all

    def lines(self) -> list[str]:
        """All that can be seen, what has scrolled away included, without the empty end."""
        self.heard()
        above = ["".join(row[x].data for x in range(len(row))) for row in self._scrolled()]
        lines = [line.rstrip() for line in [*above, *self._screen.display]]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    def _scrolled(self) -> Sequence[Mapping[int, Any]]:
        return list(self._screen.history.top)

    def say(self, text: str) -> None:
        """Somebody else writes there."""
        self.stream.write(text)
        self.stream.flush()

    def fill(self) -> None:
        """Nobody reads it: it takes no more, as after Ctrl-S."""
        tty.setraw(self.stream.fileno())
        path = f"/proc/self/fd/{self.stream.fileno()}"
        own = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
        with suppress(BlockingIOError):
            while True:
                os.write(own, b"\r" * CHUNK)
        os.close(own)

    def hang_up(self) -> None:
        """Close it, as a person who closes the window."""
        if self._ours >= 0:
            os.close(self._ours)
            self._ours = -1


def watch(
    argv: Sequence[str], columns: int, *, cwd: Path | None = None, timeout_s: float = 90
) -> tuple[int, list[str], list[list[str]]]:
    """Run a program in a window to its end: its exit code, what can be seen then, and what could be
    seen on the way, each time that it had changed."""
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "", "LINES": ""}
    until_s = time.monotonic() + timeout_s
    with Window(columns) as window:
        process = subprocess.Popen(
            argv,
            cwd=cwd,
            env={key: value for key, value in environment.items() if value},
            stdin=subprocess.DEVNULL,
            stdout=window.stream,
            stderr=window.stream,
            start_new_session=True,
        )
        seen = []
        while process.poll() is None:
            assert time.monotonic() < until_s, f"{argv} has not ended\n" + "\n".join(window.lines())
            if window.heard(0.05):
                seen.append(window.lines())
        return process.returncode, window.lines(), seen


if __name__ == "__main__":
    code, shown, _ = watch(sys.argv[2:], int(sys.argv[1]))
    print("\n".join(shown), f"\n[{code}]")
