"""Every error that adpkv raises, by who is to blame; the exit code is part of the class.

::

    AdpkvError                      70  our bug, or a thing we did not foresee
    ├── UsageError                   2  the caller: a file, an option, a missing package
    │   ├── ConfigError              2  the experiment's YAML: all problems at once
    │   ├── TraceError               2  a line of a workload trace
    │   ├── EndOfTimeError           2  virtual time would pass the largest time there is
    │   └── MissingPieceError        2  something optional is needed and not installed
    ├── IllegalTransitionError      70  a machine met an event that its table calls impossible
    ├── RankFailedError             70  one rank's program gave up where the others go on
    ├── RankLostError                5  a rank's process is gone; raised where the others meet
    │   └── HostLostError            5  it was rank 0's, and the coordinator's with it
    └── StuckError                   3  the ranks of a job can no longer go on together
        ├── CollectiveMismatchError  3  two ranks stand in different collectives of one group
        ├── DeadlockError            3  nobody can go on, and nothing will arrive
        └── LivelockError            3  many rounds, and time does not move

Faults that a run must survive (a failed transfer, a cancel, a timeout) are events, not errors.
So is a violation that an oracle saw: the run goes on to its end, and its exit code is 4.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from adpkv.exit_codes import ExitCode

__all__ = [
    "AdpkvError",
    "CollectiveMismatchError",
    "ConfigError",
    "DeadlockError",
    "EndOfTimeError",
    "HostLostError",
    "IllegalTransitionError",
    "LivelockError",
    "MissingPieceError",
    "Place",
    "RankLostError",
    "RankProgramError",
    "StuckError",
    "TraceError",
    "UsageError",
]


class AdpkvError(Exception):
    """Base of all errors of this package; `exit_code` is what the process ends with."""

    exit_code = ExitCode.INTERNAL_ERROR


class UsageError(AdpkvError):
    """The caller can mend it: the message says what was found and what is expected."""

    exit_code = ExitCode.USAGE


class ConfigError(UsageError):
    """An experiment file that cannot be run. `problems` holds one line each, with its path."""

    def __init__(self, source: str, problems: Sequence[str]) -> None:
        self.source = source
        self.problems = tuple(problems)
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__("\n".join([f"{source}: {count}", *(f"  {line}" for line in problems)]))


class EndOfTimeError(UsageError):
    """An experiment goes on for longer than a run may, in virtual time."""


class TraceError(UsageError):
    """A trace line that cannot be used; the message begins with FILE:LINE."""


class MissingPieceError(UsageError):
    """An optional package or device is needed; the message says how to get it."""


class IllegalTransitionError(AdpkvError):
    """A machine met an event that its table calls impossible. The state is left unchanged."""

    def __init__(self, subject: str, state: str, event: str, story: Sequence[str] = ()) -> None:
        self.subject, self.state, self.event, self.story = subject, state, event, tuple(story)
        told = "\n".join(f"  {line}" for line in story)
        super().__init__(
            f"{subject}: event {event} cannot happen in state {state}"
            + (f"; its story:\n{told}" if told else "")
        )


class Place(NamedTuple):
    """Where a rank was when its job got stuck: in which collective, or what it did alone."""

    rank: int
    kind: str
    site: str
    iteration: int


class RankProgramError(AdpkvError):
    """One rank's program gave up, at `place`; nothing that the contract's programs do."""

    def __init__(self, why: str, place: Place) -> None:
        self.place = place
        where = f"{place.kind} at {place.site}, iteration {place.iteration}"
        super().__init__(f"rank {place.rank} in {where}: {why}")


class RankLostError(AdpkvError):
    """The process of `rank` has failed. Raised in each survivor of its group at `place`, where that
    one waits for it."""

    exit_code = ExitCode.RANK_LOST

    def __init__(self, rank: int, place: Place) -> None:
        self.rank, self.place = rank, place
        where = f"{place.kind} at {place.site}, iteration {place.iteration}"
        super().__init__(f"rank {rank} has failed; it is missing from {where}")


class HostLostError(RankLostError):
    """Nobody is left to admit, to answer clients, or to sum up: the job ends at once."""

    def __init__(self, rank: int, place: Place) -> None:
        super().__init__(rank, place)
        self.args = (self.told(rank),)

    @staticmethod
    def told(rank: int) -> str:
        """The message."""
        return f"rank {rank} has failed, and with it the coordinator: the job ends"


class StuckError(AdpkvError):
    """The ranks can no longer go on together; the message says for each rank where it is, and so
    does `places`, in rank order, for the ranks of which it is known."""

    exit_code = ExitCode.DEADLOCK

    def __init__(
        self, message: str, places: Iterable[Place] = (), group: int | None = None
    ) -> None:
        super().__init__(message)
        self.places = tuple(places)
        self.group = group
        """The group of ranks that it is about; None for the whole job."""
        self.evidence: object = None
        """All that its world knows of the ranks: a `diagnosis.evidence.Evidence`."""
        self.report: object = None
        """What was made of that: a `diagnosis.report.Report`."""
        self.folder = ""
        """Where the run has written down what happened until then, if anywhere."""
        self.unwritten: tuple[str, ...] = ()
        """What of the run's files could not be written, and why."""
        self.stories: tuple[str, ...] = ()
        """Of the requests concerned, as lines, where they are to be told with the report."""


class CollectiveMismatchError(StuckError):
    """Two ranks of a group stand in different collectives."""


class DeadlockError(StuckError):
    """Some wait, and nothing that could end the wait will ever happen."""


class LivelockError(StuckError):
    """Many rounds at one instant of virtual time."""
