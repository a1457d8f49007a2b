"""What the ranks of one test and the pytest that has started them tell each other, by files.

Each rank writes `rank-N.json` in the job's folder, anew with each thing that happens; a reader sees
the old or the new one. The parent asks all that have not ended where they are, by making `where`.
"""

from __future__ import annotations

import os
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

__all__ = [
    "FOLDER",
    "OPTIONS",
    "OUTPUT",
    "WHERE",
    "Outcome",
    "State",
    "crash_file",
    "read",
    "write",
]

FOLDER: Final = "ADPKV_BODY_FOLDER"
"""The variable by which a rank's pytest knows that it is one, and the job's folder."""

OPTIONS: Final = "options.json"
"""The parent's own options, for the ranks."""

OUTPUT: Final = "output"
"""All that the job prints."""

WHERE: Final = "where"


class State(StrEnum):
    """How far a rank has come with the test."""

    STARTING = "starting"
    RUNNING = "running"
    """It is in the body."""
    PASSED = "passed"
    SKIPPED = "skipped"
    FAILED = "failed"
    KILLED = "killed"
    """By the test itself: `ranks.kill`."""


class Outcome(msgspec.Struct, frozen=True):
    """One rank's."""

    rank: int
    pid: int
    ticks: int
    """When its process began, in clock ticks: process ids are used again."""
    state: State
    at_s: float = 0.0
    """When this was written, by the host's monotonic clock."""
    message: str = ""
    """One line: what was raised and where, or why it was skipped."""
    text: str = ""
    """The traceback, as pytest prints it."""
    place: str = ""
    """Where it was when the parent asked."""

    @property
    def ended(self) -> bool:
        """Nothing more will come of it."""
        return self.state not in (State.STARTING, State.RUNNING)


def write(folder: Path, outcome: Outcome) -> None:
    """Replace what this rank has written before. A folder that is gone already is no error."""
    new = folder / f"new-{outcome.rank}"
    with suppress(OSError):
        new.write_bytes(msgspec.json.encode(outcome))
        os.replace(new, folder / f"rank-{outcome.rank}.json")


def read(folder: Path, rank: int) -> Outcome | None:
    """What this rank has written last; None if it has not begun."""
    try:
        return msgspec.json.decode((folder / f"rank-{rank}.json").read_bytes(), type=Outcome)
    except FileNotFoundError:
        return None


def crash_file(folder: Path, rank: int) -> Path:
    """Where Python writes the frames of a rank that a signal ends."""
    return folder / f"crash-{rank}"
