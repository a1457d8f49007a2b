"""SIGHUP, SIGINT and SIGTERM as requests to stop: they set a flag, which the rank proposes to its
group.

A handler that raised would end one rank in the middle of a collective. Further signals change
nothing: the group is already draining, within its own time limit.
"""

from __future__ import annotations

import signal
from types import FrameType
from typing import Final

from adpkv.exit_codes import ExitCode

__all__ = ["CODES", "StopSignals"]

CODES: Final = {
    signal.SIGHUP: ExitCode.SIGHUP,
    signal.SIGINT: ExitCode.SIGINT,
    signal.SIGTERM: ExitCode.SIGTERM,
}


class StopSignals:
    """The signals that this process got; the first one counts."""

    def __init__(self) -> None:
        self.code = int(ExitCode.COMPLETED)
        """0, or the exit code for the signal: 129 (SIGHUP), 130 (SIGINT), 143 (SIGTERM)."""

    def install(self) -> StopSignals:
        """Install the handlers; only in the main thread. A signal that this process was started to
        ignore, as SIGHUP under nohup, stays ignored."""
        for number in CODES:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._note)
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        if not self.code:
            self.code = CODES[signal.Signals(number)]
