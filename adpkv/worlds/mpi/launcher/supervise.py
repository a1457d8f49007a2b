"""Runs a command again when its exit code says that this may help.

Exit codes 75 (the transceiver is unhealthy) and 5 (a rank has failed) ask for a restart. The
command is restarted with growing pauses, a limited number of times. Every other code is final: 0 is
success, 129, 130 and 143 were requested by a signal, and 2, 3, 4, 70 and 74 would only recur: a
person must look at them. SIGINT, SIGTERM and SIGHUP are passed on, and nothing is started after
them.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from adpkv.counting import counted
from adpkv.exit_codes import OUTCOMES, SIGNALLED, ExitCode, by_signal, of_process
from adpkv.worlds.mpi.launcher.process_tree import die_with_parent

__all__ = ["RESTARTED", "RestartPolicy", "Supervisor"]

RESTARTED: Final = (ExitCode.RANK_LOST, ExitCode.UNHEALTHY)
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LOOK_EVERY_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """How often a command is restarted, and after which pauses."""

    restarts: int = 5
    """The most restarts."""
    first_s: float = 2.0
    """The pause before the first restart; each further one is twice as long."""
    most_s: float = 300.0
    """The longest pause."""
    steady_s: float = 3600.0
    """After a run of at least this length, count and pause start again from the beginning."""


class Supervisor:
    """One command, restarted as often as the policy allows."""

    def __init__(self, command: Sequence[str], restart_policy: RestartPolicy) -> None:
        self._command, self._restart_policy = list(command), restart_policy
        self._child: subprocess.Popen[bytes] | None = None
        self._asked = 0
        """The signal that asked to stop; 0 if none did."""

    def run(self) -> int:
        """Run it until its exit code is final; returns that code."""
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
                _say(f"{_describe(code)}: not restarted, {why}")
                return code
            if restarts >= restart_policy.restarts:
                _say(f"{_describe(code)}: given up after {counted(restarts, 'restart')}")
                return code
            pause_s = min(restart_policy.first_s * 2**restarts, restart_policy.most_s)
            restarts += 1
            which = f"restart {restarts} of {restart_policy.restarts}"
            _say(f"{_describe(code)}: {which} in {pause_s:g} s")
            if not self._paused(pause_s):
                _say(f"not restarted, asked to stop by signal {self._asked}")
                return by_signal(self._asked)

    def _once(self) -> int:
        """Run it once. It gets a session of its own, so that Ctrl-C reaches it only through this
        process."""
        command = self._command
        try:
            self._child = subprocess.Popen(
                command, start_new_session=True, preexec_fn=die_with_parent
            )
        except OSError as error:
            _say(f"cannot start {command[0]}: {error.strerror}")
            return ExitCode.USAGE
        if self._asked:  # the signal came between the last check and the start
            self._child.send_signal(self._asked)
        return of_process(self._child.wait())

    def _paused(self, pause_s: float) -> bool:
        """Sleep for so long; returns False as soon as a signal asks to stop."""
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
    """Print one line to the log (stderr)."""
    print(f"supervise: {text}", file=sys.stderr, flush=True)


def _describe(code: int) -> str:
    """An exit code with its name."""
    word = OUTCOMES.get(code) or ("killed" if code > SIGNALLED else "unknown")
    return f"exit code {code} ({word.replace('_', ' ')})"
