"""Runs a command again when it says that this may help.

adpkv's exit codes say what to do. 75 (the transceiver is ill) and 5 (a rank has failed) ask for a
fresh start: that is made, later each time, and only so often. Every other code is final: 0 is a
success, 129, 130 and 143 were asked for, and 2, 3, 4, 70 and 74 only come again: somebody must
look. SIGINT, SIGTERM and SIGHUP are passed on, and nothing is started after them.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from adpkv.exit_codes import OUTCOMES, SIGNALLED, ExitCode, by_signal, of_process
from adpkv.worlds.mpi.launcher.process_tree import die_with_parent

__all__ = ["RESTARTED", "RestartPolicy", "Supervisor"]

RESTARTED: Final = (ExitCode.RANK_LOST, ExitCode.UNHEALTHY)
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LOOK_EVERY_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """How often a command is started again, and after which pauses."""

    restarts: int = 5
    """At most so often."""
    first_s: float = 2.0
    """Before the first restart; twice as long each time."""
    most_s: float = 300.0
    """The longest pause."""
    steady_s: float = 3600.0
    """A run of at least so long makes the count and the pause begin anew."""


class Supervisor:
    """One command, started as often as the rules say."""

    def __init__(self, command: Sequence[str], restart_policy: RestartPolicy) -> None:
        self._command, self._restart_policy = list(command), restart_policy
        self._child: subprocess.Popen[bytes] | None = None
        self._asked = 0
        """The signal that asked to stop."""

    def run(self) -> int:
        """See it through to the end; returns the exit code."""
        for number in SIGNALS:
            signal.signal(number, self._pass_on)
        restart_policy, restarts = self._restart_policy, 0
        while True:
            began_s = time.monotonic()
            code = self._once()
            if time.monotonic() - began_s >= restart_policy.steady_s:
                restarts = 0
            if self._asked or code not in RESTARTED:
                why = f"asked to stop by signal {self._asked}" if self._asked else "final"
                _say(f"{_told(code)}: not restarted, {why}")
                return code
            if restarts >= restart_policy.restarts:
                _say(f"{_told(code)}: given up after {restarts} restarts")
                return code
            pause_s = min(restart_policy.first_s * 2**restarts, restart_policy.most_s)
            restarts += 1
            _say(f"{_told(code)}: restart {restarts} of {restart_policy.restarts} in {pause_s:g} s")
            if not self._paused(pause_s):
                _say(f"not restarted, asked to stop by signal {self._asked}")
                return by_signal(self._asked)

    def _once(self) -> int:
        """Run it once. A session of its own, so that Ctrl-C reaches it through here, once."""
        command = self._command
        try:
            self._child = subprocess.Popen(
                command, start_new_session=True, preexec_fn=die_with_parent
            )
        except OSError as error:
            _say(f"cannot start {command[0]}: {error.strerror}")
            return ExitCode.USAGE
        if self._asked:  # between the last look and the start
            self._child.send_signal(self._asked)
        return of_process(self._child.wait())

    def _paused(self, pause_s: float) -> bool:
        """Let so much time pass; False as soon as somebody asks to stop."""
        until_s = time.monotonic() + pause_s
        while not self._asked and (left_s := until_s - time.monotonic()) > 0:
            # In slices, because a signal does not end a sleep; an event could not be set in a
            # handler that interrupts its own wait.
            time.sleep(min(left_s, LOOK_EVERY_S))
        return not self._asked

    def _pass_on(self, number: int, frame: object) -> None:
        self._asked = self._asked or number
        if self._child is not None:
            self._child.send_signal(number)


def _say(text: str) -> None:
    """One line to whoever reads the log."""
    print(f"supervise: {text}", file=sys.stderr, flush=True)


def _told(code: int) -> str:
    """An exit code with its word."""
    word = OUTCOMES.get(code) or ("killed" if code > SIGNALLED else "unknown")
    return f"exit code {code} ({word.replace('_', ' ')})"
