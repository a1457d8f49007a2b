"""Progress lines on the user's terminal, redrawn in place.

Under mpirun a rank cannot see the terminal: its stdout is a pseudo-terminal without a size, its
stderr is a pipe, and mpirun forwards the two when it gets to them. So this module finds the
terminal through the rank's parent process, the launcher, and writes the progress lines straight to
it. They go through no buffer: once a process has cleared them they are gone, and what it prints
next comes after.

The cursor rests at the beginning of the progress lines. What others print takes their place, and
nothing above the cursor is touched. A writer holds a lock on the terminal while it writes. The
process that prints the final line of a job keeps the lock until it ends.
"""

from __future__ import annotations

import fcntl
import os
import select
import stat
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Final, Protocol

from adpkv.streams import PLAIN

__all__ = [
    "Console",
    "PlainConsole",
    "Terminal",
    "console_for",
    "final_line",
    "stderr_line",
    "terminal_columns",
]

LAUNCHERS: Final = frozenset({"mpirun", "mpiexec", "prterun", "prted", "hydra_pmi_proxy"})
"""Names of processes that start ranks and forward their output."""

ERASE: Final = "\r\x1b[J"
"""Erase from the cursor's line to the end of the screen."""

WRITE_BOUND_S: Final = 1.0
"""A user may have halted the terminal with Ctrl-S: no run waits longer than this for it."""

LOCK_BOUND_S: Final = 0.05
"""A redraw takes far less; a process that holds the lock longer is printing the final line."""

HANG: Final = "  "
LEAST_COLUMNS: Final = 20
"""In a narrower window lines are broken as if it were so wide."""

CURSOR_MOVES: Final = dict.fromkeys(map(ord, "\a\b\v\f\r"))
"""Characters that are left out of a printed line, as rich leaves them out."""

TAKE_BOUND_S: Final = 1.0
LOOK_S: Final = 0.002


class Terminal:
    """A terminal device. It is opened again, so the flags of other descriptors are not changed."""

    def __init__(self, descriptor: int, encoding: str = "utf-8") -> None:
        self._descriptor, self.encoding = descriptor, encoding
        self._shown = False

    @classmethod
    def behind(cls, stream: IO[str] | None) -> Terminal | None:
        """The terminal to which `stream` leads; None if it leads elsewhere or cannot be opened."""
        path = _device(stream)
        if path is None or stream is None:
            return None
        try:
            return cls(_opened(path, os.O_RDWR), getattr(stream, "encoding", None) or "utf-8")
        except OSError:
            return None

    @property
    def columns(self) -> int:
        """Its present width in columns."""
        return _columns(self._descriptor)

    def show(self, lines: Sequence[str]) -> bool:
        """Replace the lines shown last by these; the cursor goes back to their beginning.

        Returns False, and shows nothing, once another process has printed the final line.
        """
        up = f"\x1b[{len(lines) - 1}A" if len(lines) > 1 else ""
        return self._alone(ERASE + "\r\n".join(lines) + up + "\r", shown=True)

    def clear(self) -> None:
        """Erase what was shown."""
        if self._shown:
            self._alone(ERASE, shown=False)

    def take(self) -> None:
        """Erase what any process has shown, and keep the lock: no other process shows anything
        until this one ends."""
        self._locked(TAKE_BOUND_S)
        self._write(ERASE)

    def _alone(self, text: str, *, shown: bool) -> bool:
        if not self._locked(LOCK_BOUND_S):
            return False
        try:
            self._write(text)
            self._shown = shown
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        return True

    def _locked(self, bound_s: float) -> bool:
        until_s = time.monotonic() + bound_s
        while True:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                if time.monotonic() >= until_s:
                    return False
                time.sleep(LOOK_S)
            else:
                return True

    def _write(self, text: str) -> None:
        """Write all of it, unless the terminal is halted or gone."""
        left = text.encode(self.encoding, PLAIN)
        until_s = time.monotonic() + WRITE_BOUND_S
        while left:
            try:
                left = left[os.write(self._descriptor, left) :]
            except BlockingIOError:
                wait_s = until_s - time.monotonic()
                if wait_s <= 0 or not select.select([], [self._descriptor], [], wait_s)[1]:
                    return
            except OSError:
                return


def final_line(text: str) -> None:
    """Print on stderr why this job ends; no process shows progress on its terminal afterwards.
    Where stderr is a terminal, lines break between words."""
    terminal = Terminal.behind(sys.stderr)
    if terminal is not None:
        terminal.take()
    stderr_line(text)


def stderr_line(text: str) -> None:
    """Print on stderr; where that is a terminal, lines break between words."""
    terminal = Terminal.behind(sys.stderr)
    if terminal is not None:
        text = "\n".join(_broken(line, terminal.columns) for line in text.split("\n"))
    print(text, file=sys.stderr, flush=True)


def _broken(line: str, columns: int) -> str:
    """The line in lines of so many columns; those after the first stand two columns further in."""
    if len(line) <= columns:
        return line
    from textwrap import wrap

    begin = line[: len(line) - len(line.lstrip())]
    hang = begin + HANG
    return "\n".join(
        wrap(
            line, max(columns, LEAST_COLUMNS), subsequent_indent=hang,
            break_long_words=False, break_on_hyphens=False,
        )
    )  # fmt: skip


class Console(Protocol):
    """What adpkv uses of rich's console."""

    @property
    def is_terminal(self) -> bool:
        """Whether it leads to a terminal."""
        ...

    @property
    def is_dumb_terminal(self) -> bool:
        """Whether nothing on that terminal can be erased."""
        ...

    @property
    def width(self) -> int:
        """In columns; of a terminal only."""
        ...

    @property
    def file(self) -> IO[str]:
        """What it writes to."""
        ...

    def print(
        self,
        text: str,
        /,
        *,
        style: str | None = None,
        markup: bool | None = None,
        highlight: bool | None = None,
        emoji: bool | None = None,
        soft_wrap: bool | None = None,
    ) -> None:
        """Print a line."""
        ...


class PlainConsole:
    """A console on what is no terminal: text as it stands, without what moves a cursor.

    Rich's does the same there, but importing it takes a tenth of a short simulation.
    """

    is_terminal = is_dumb_terminal = False
    width = 80

    def __init__(self, file: IO[str]) -> None:
        self.file = file

    def print(self, text: str, /, **_: object) -> None:
        """Print a line; nothing else that rich may be asked for shows here."""
        self.file.write(text.translate(CURSOR_MOVES) + "\n")
        self.file.flush()


def console_for(stream: IO[str]) -> Console:
    """A rich console on the terminal to which `stream` leads, with its width; elsewhere a plain
    one."""
    columns = terminal_columns(stream)
    if columns is None:
        return PlainConsole(stream)
    import rich.console

    return rich.console.Console(file=stream, force_terminal=True, width=columns)


def terminal_columns(stream: IO[str] | None) -> int | None:
    """The width in columns of the terminal to which `stream` leads; None if it leads elsewhere."""
    path = _device(stream)
    if path is None:
        return None
    try:
        theirs = _opened(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        return _columns(theirs)
    finally:
        os.close(theirs)


def _device(stream: IO[str] | None) -> Path | None:
    """The device to which `stream` leads, if it is a terminal that has a size."""
    try:
        descriptor = -1 if stream is None else stream.fileno()
    except (OSError, ValueError):
        return None
    if descriptor < 0:
        return None
    own = Path(f"/proc/self/fd/{descriptor}")
    if _columns(descriptor):
        return own
    parent = Path(f"/proc/{os.getppid()}")
    try:
        if parent.joinpath("comm").read_text().strip() not in LAUNCHERS:
            return None
        theirs = parent / "fd" / str(descriptor)
        # Checked before it is opened: it may be a log or a pipe, which must not be opened here.
        if not stat.S_ISCHR(theirs.stat().st_mode):
            return None
        return theirs if _columns_at(theirs) else None
    except OSError:
        return None


def _columns_at(path: Path) -> int:
    theirs = _opened(path, os.O_RDONLY)
    try:
        return _columns(theirs)
    finally:
        os.close(theirs)


def _opened(path: Path, flags: int) -> int:
    return os.open(path, flags | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)


def _columns(descriptor: int) -> int:
    try:
        return os.get_terminal_size(descriptor).columns
    except OSError:
        return 0
