"""Shows a running job on the screen again and again: redrawn in place on a terminal, as plain lines
elsewhere."""

from __future__ import annotations

import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from adpkv.errors import UsageError
from adpkv.inspect.render import survey_lines
from adpkv.inspect.snapshot import Survey, take_survey
from adpkv.output.tables import print_line

if TYPE_CHECKING:
    from adpkv.terminal import Console

__all__ = ["follow"]

LIVE_INTERVAL_S: Final = 0.5
PLAIN_INTERVAL_S: Final = 2.0
"""Reading the rings touches a few pages of memory per rank, and delays no rank."""


def follow(folder: Path, stream: IO[str]) -> None:
    """Show the job until it is over or the caller is interrupted (Ctrl-C)."""
    from adpkv.terminal import console_for

    console = console_for(stream)
    try:
        if console.is_terminal and not console.is_dumb_terminal:
            _live(folder, console)
        else:
            _plain(folder, console)
    except KeyboardInterrupt:
        return
    print_line(console, "the job is over")


def _now(folder: Path) -> Survey | None:
    """The job as it is now; None once it is over: its ranks have removed their rings, or all have
    ended."""
    try:
        survey = take_survey(folder)
    except UsageError:
        return None
    return survey if survey.running else None


def _live(folder: Path, console: Console) -> None:
    from rich.console import Console as RichConsole
    from rich.live import Live
    from rich.text import Text

    assert isinstance(console, RichConsole)

    # No refresh thread: nothing changes between two readings.
    with Live(console=console, auto_refresh=False) as live:
        while (survey := _now(folder)) is not None:
            live.update(Text("\n".join(survey_lines(survey, console.width))), refresh=True)
            time.sleep(LIVE_INTERVAL_S)


def _plain(folder: Path, console: Console) -> None:
    while (survey := _now(folder)) is not None:
        print_line(console, "\n".join(survey_lines(survey)))
        time.sleep(PLAIN_INTERVAL_S)
