"""What a process of adpkv ends with: the one place where an exit code is a number.

An orchestrator decides by it (`docs/outputs.md` says what for each). Several may hold at
once, on one rank or over a job: then `worst` says which one wins.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import Final

__all__ = [
    "EXIT_PRECEDENCE",
    "OUTCOMES",
    "SIGNALLED",
    "ExitCode",
    "by_signal",
    "of_process",
    "worst",
]

SIGNALLED: Final = 128
"""A shell's convention: a process that a signal has ended says this and the signal's number."""


class ExitCode(IntEnum):
    """How a run, or another command, has ended."""

    COMPLETED = 0
    USAGE = 2
    """The call is wrong: a file, an option, a missing package."""
    DEADLOCK = 3
    """A collective mismatch, or a wait without end."""
    VIOLATION = 4
    """An oracle spoke."""
    RANK_LOST = 5
    """A rank's process is gone."""
    INTERNAL_ERROR = 70
    """A bug. This and the next are those of BSD's sysexits."""
    OUTPUT_LOST = 74
    """What was to be written could not be written."""
    UNHEALTHY = 75
    """The transceiver was ill for longer than its grace: a restart helps."""
    SIGHUP = 129
    SIGINT = 130
    SIGTERM = 143


EXIT_PRECEDENCE: Final = (
    ExitCode.INTERNAL_ERROR,
    ExitCode.VIOLATION,
    ExitCode.DEADLOCK,
    ExitCode.RANK_LOST,
    ExitCode.OUTPUT_LOST,
    ExitCode.USAGE,
    ExitCode.UNHEALTHY,
    ExitCode.SIGTERM,
    ExitCode.SIGINT,
    ExitCode.SIGHUP,
    ExitCode.COMPLETED,
)
"""Which exit code wins where ranks propose several (contract 6.6)."""

OUTCOMES: Final[Mapping[int, str]] = {
    ExitCode.COMPLETED: "completed",
    ExitCode.USAGE: "usage",
    ExitCode.DEADLOCK: "deadlock",
    ExitCode.VIOLATION: "violation",
    ExitCode.RANK_LOST: "rank_lost",
    ExitCode.INTERNAL_ERROR: "internal_error",
    ExitCode.OUTPUT_LOST: "output_lost",
    ExitCode.UNHEALTHY: "unhealthy",
    ExitCode.SIGHUP: "interrupted",
    ExitCode.SIGINT: "interrupted",
    ExitCode.SIGTERM: "interrupted",
}
"""The word in `summary.json` for each exit code."""


def worst(codes: Iterable[int]) -> ExitCode:
    """The exit code that wins; an unknown one counts as an internal error."""
    found = {code if code in OUTCOMES else ExitCode.INTERNAL_ERROR for code in codes}
    return next((code for code in EXIT_PRECEDENCE if code in found), ExitCode.COMPLETED)


def by_signal(number: int) -> int:
    """The exit code of what this signal has ended, or asked to end."""
    return SIGNALLED + number


def of_process(returncode: int) -> int:
    """The exit code of a child by its `returncode`, which is the negative of a signal."""
    return returncode if returncode >= 0 else by_signal(-returncode)
