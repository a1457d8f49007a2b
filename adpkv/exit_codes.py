"""Exit codes of adpkv's processes; no other module writes one as a number.

An orchestrator acts on the exit code (`docs/architecture.md` says how for each). Where several
apply at once, on one rank or over a job, `worst` says which one wins.
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
"""The shell's convention: a process ended by a signal has this plus the signal's number as code."""


class ExitCode(IntEnum):
    """How a run, or another command, ended."""

    COMPLETED = 0
    USAGE = 2
    """The call is wrong: a file, an option, a missing package."""
    DEADLOCK = 3
    """A collective mismatch, or a wait without end."""
    VIOLATION = 4
    """An oracle (a run-time check of the contract) reported a violation."""
    RANK_LOST = 5
    """A rank's process is gone."""
    INCOMPLETE = 6
    """`adpkv explore`: an exhaustive walk was cut off before it was complete. No run ends so."""
    GONE = 7
    """`adpkv replay`: what the file has recorded is not found any more. No run ends so."""
    INTERNAL_ERROR = 70
    """A bug. This and the next two have the numbers of BSD's sysexits."""
    OUTPUT_LOST = 74
    """Output could not be written."""
    UNHEALTHY = 75
    """A transceiver was unhealthy for longer than its grace period: a restart helps."""
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
    ExitCode.INCOMPLETE,
    ExitCode.GONE,
    ExitCode.COMPLETED,
)
"""Which exit code wins where ranks propose several (contract 6.6): all there are, in order."""

_PLACES: Final[Mapping[int, int]] = {code: place for place, code in enumerate(EXIT_PRECEDENCE)}

OUTCOMES: Final[Mapping[int, str]] = {
    ExitCode.COMPLETED: "completed",
    ExitCode.USAGE: "usage",
    ExitCode.DEADLOCK: "deadlock",
    ExitCode.VIOLATION: "violation",
    ExitCode.RANK_LOST: "rank_lost",
    ExitCode.INCOMPLETE: "incomplete",
    ExitCode.GONE: "gone",
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
    unknown = _PLACES[ExitCode.INTERNAL_ERROR]
    places = [_PLACES.get(code, unknown) for code in codes]
    return EXIT_PRECEDENCE[min(places)] if places else ExitCode.COMPLETED


def by_signal(number: int) -> int:
    """The exit code of a process that signal `number` has ended, or asked to end."""
    return SIGNALLED + number


def of_process(returncode: int) -> int:
    """The exit code for a child's `returncode`; a negative one is the signal that ended it."""
    return returncode if returncode >= 0 else by_signal(-returncode)
