"""The terminal at which a person looks on, and the few lines of it that change.

Under mpirun a rank cannot see the terminal: its stdout is a pseudo-terminal of no size wherever
mpirun's own output goes, its stderr is a pipe, and mpirun forwards the two as it comes to them. So
the launcher, its parent, is asked where the terminal is, and the lines that change are written
straight to it. They pass by no buffer of anybody's: once a process has taken them away they are
gone, and whatever it says next comes behind.

The cursor rests at the beginning of these lines. What is printed by others takes their place, and
nothing above the cursor is ever touched. Who writes holds a lock on the terminal meanwhile; who has
the final line of a job keeps it.
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
from typing import IO, TYPE_CHECKING, Final

from adpkv.streams import PLAIN

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Terminal", "console_for", "final_line", "terminal_columns"]

LAUNCHERS: Final = frozenset({"mpirun", "mpiexec", "prterun", "prted", "hydra_pmi_proxy"})
"""Names of processes that start ranks and forward their output."""

ERASE: Final = "\r\x1b[J"
"""From the cursor's line downwards."""

WRITE_BOUND_S: Final = 1.0
"""Somebody may have halted the terminal with Ctrl-S: nobody's run waits for that."""

LOCK_BOUND_S: Final = 0.05
"""A redraw takes far less; who has the terminal for longer has the final line."""

TAKE_BOUND_S: Final = 1.0
LOOK_S: Final = 0.002


class Terminal:
    """A terminal's device, opened once more: so the flags of other people's descriptors stay."""

    def __init__(self, descriptor: int, encoding: str = "utf-8") -> None:
        self._descriptor, self.encoding = descriptor, encoding
        self._shown = False

    @classmethod
    def behind(cls, stream: IO[str] | None) -> Terminal | None:
        """The one that `stream` ends at; None if it ends elsewhere or nobody may open it."""
        path = _device(stream)
        if path is None or stream is None:
            return None
        try:
            return cls(_opened(path, os.O_RDWR), getattr(stream, "encoding", None) or "utf-8")
        except OSError:
            return None

    @property
    def columns(self) -> int:
        """Its width as it is now."""
        return _columns(self._descriptor)

    def show(self, lines: Sequence[str]) -> bool:
        """Put these in the place of what was shown last; the cursor goes back to their beginning.
        False, and nothing is shown, once somebody else has the final line."""
        up = f"\x1b[{len(lines) - 1}A" if len(lines) > 1 else ""
        return self._alone(ERASE + "\r\n".join(lines) + up + "\r", shown=True)

    def clear(self) -> None:
        """Take away what was shown."""
        if self._shown:
            self._alone(ERASE, shown=False)

    def take(self) -> None:
        """Take away what any process has shown, and let none show anything until this one ends."""
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
        """All of it, unless the terminal is halted or gone."""
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
    """Say why this job ends, on stderr; no process on its terminal shows progress any more."""
    terminal = Terminal.behind(sys.stderr)
    if terminal is not None:
        terminal.take()
    print(text, file=sys.stderr, flush=True)


def console_for(stream: IO[str]) -> Console:
    """A console on `stream` that knows whether a terminal is at the far end."""
    from rich.console import Console

    columns = terminal_columns(stream)
    return Console(file=stream, force_terminal=columns is not None, width=columns)


def terminal_columns(stream: IO[str] | None) -> int | None:
    """The width of the terminal that `stream` ends at; None if it ends elsewhere."""
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
    """What `stream` ends at, if that is a terminal that has a size."""
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
        # Looked at before it is opened: it may be a log or a pipe, which are not ours to open.
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
