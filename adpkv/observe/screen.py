"""Where a run speaks to people: progress on stderr, the closing words or JSON on stdout.

Under mpirun a rank cannot see the terminal: its stdout is a pseudo-terminal of no size wherever
mpirun's own output goes, its stderr is a pipe. So the launcher, its parent, is asked instead.
"""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from adpkv.errors import StuckError, UsageError
from adpkv.observe.progress import Progress, QuietProgress, progress_for

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Screen", "console_for", "terminal_columns"]

LAUNCHERS: Final = frozenset({"mpirun", "mpiexec", "prterun", "prted", "hydra_pmi_proxy"})
"""Names of processes that start ranks and forward their output."""

NS_PER_S: Final = 1e9
STORY_INDENT: Final = 2
"""Columns before each line of a story in the report of a stuck job."""


class Screen:
    """What one run shows; `quiet` shows nothing, `as_json` only `summary.json` on stdout."""

    def __init__(self, *, quiet: bool = False, as_json: bool = False) -> None:
        self._quiet, self._as_json = quiet, as_json

    def progress(self, pulse_ns: int) -> Progress:
        """How far the run is, on stderr; plain lines come at most once a pulse."""
        if self._quiet:
            return QuietProgress()
        return progress_for(console_for(sys.stderr), pulse_ns / NS_PER_S)

    def close(self, summary: Mapping[str, Any], folder: Path | None) -> None:
        """The run is over: tables and a sentence, or JSON, or nothing."""
        if self._as_json:
            print(json.dumps(summary, indent=2))
        elif not self._quiet:
            from adpkv.observe.closing import show_closing

            show_closing(console_for(sys.stdout), summary, folder)
        sys.stdout.flush()

    def stuck(self, error: StuckError) -> None:
        """The ranks could not go on together: the error is to tell the stories of the requests that
        were open on them, when its caller says it on stderr."""
        if self._quiet or not error.folder:
            return
        from adpkv.observe.folder import RunFolder
        from adpkv.observe.story import last_open
        from adpkv.observe.story_text import stories

        folder = RunFolder(Path(error.folder))
        try:
            open_then = getattr(error.report, "requests", ()) or last_open(
                folder, {place.rank for place in error.places}
            )
        except UsageError:
            return  # the run was made without events
        columns = terminal_columns(sys.stderr)
        error.stories = tuple(stories(folder, open_then, columns and columns - STORY_INDENT))


def console_for(stream: IO[str]) -> Console:
    """A console on `stream` that knows whether a terminal is at the far end."""
    from rich.console import Console

    columns = terminal_columns(stream)
    return Console(file=stream, force_terminal=columns is not None, width=columns)


def terminal_columns(stream: IO[str]) -> int | None:
    """The width of the terminal that `stream` ends at; None if it ends elsewhere."""
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError):
        return None
    own = _columns(descriptor)
    return own if own else _launchers_columns(descriptor)


def _columns(descriptor: int) -> int:
    try:
        return os.get_terminal_size(descriptor).columns
    except OSError:
        return 0


def _launchers_columns(descriptor: int) -> int | None:
    parent = Path(f"/proc/{os.getppid()}")
    try:
        if parent.joinpath("comm").read_text().strip() not in LAUNCHERS:
            return None
        return _device_columns(parent / "fd" / str(descriptor))
    except OSError:
        return None


def _device_columns(path: Path) -> int | None:
    # Looked at before it is opened: it may be a log or a pipe, which are not ours to open.
    if not stat.S_ISCHR(path.stat().st_mode):
        return None
    theirs = os.open(path, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        return _columns(theirs) or None
    finally:
        os.close(theirs)
