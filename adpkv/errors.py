"""Every error that adpkv raises, by who is to blame; the exit code is part of the class.

::

    AdpkvError                      70  our bug, or a thing we did not foresee
    ├── UsageError                   2  the caller: a file, an option, a missing package
    │   ├── ConfigError              2  the experiment's YAML: all problems at once
    │   ├── TraceError               2  a line of a workload trace
    │   ├── EndOfTimeError           2  virtual time would pass the largest time there is
    │   ├── TargetError              2  a rank program that cannot be checked
    │   ├── LeavesTheModelError      2  a checked rank program does what no schedule can decide
    │   │   └── NotProvidedError     2  it calls what the model of its library does not have
    │   └── MissingPieceError        2  something optional is needed and not installed
    ├── BadCallError                70  a piece of ours was called wrongly: 2 if by a plugin
    ├── IllegalTransitionError      70  a machine met an event that its table calls impossible
    ├── RankProgramError            70  one rank's program ended while the others go on
    ├── UnendingRankError            3  a checked program's rank does not end when it is told to
    ├── RankLostError                5  a rank's process has failed; raised in its group
    │   └── HostLostError            5  it was rank 0's process, which also has the coordinator
    └── StuckError                   3  the ranks of a job can no longer go on together
        ├── CollectiveMismatchError  3  two ranks are in different collectives of one group
        ├── DeadlockError            3  nobody can go on, and nothing will arrive
        └── LivelockError            3  many iterations, and virtual time does not advance

Faults that a run must survive (a failed transfer, a cancel, a timeout) are events, not errors.
So is a violation reported by an oracle (a run-time check of the contract): the run continues to its
end, and its exit code is 4.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from adpkv.exit_codes import ExitCode

__all__ = [
    "AdpkvError",
    "BadCallError",
    "CollectiveMismatchError",
    "ConfigError",
    "DeadlockError",
    "EndOfTimeError",
    "HostLostError",
    "IllegalTransitionError",
    "LeavesTheModelError",
    "LivelockError",
    "MissingPieceError",
    "NotProvidedError",
    "Place",
    "RankLostError",
    "RankProgramError",
    "StuckError",
    "TargetError",
    "TraceError",
    "UnendingRankError",
    "UsageError",
]


class AdpkvError(Exception):
    """Base of all errors of this package; `exit_code` is what the process ends with."""

    exit_code = ExitCode.INTERNAL_ERROR


class UsageError(AdpkvError):
    """The caller can correct it: the message says what was found and what is expected."""

    exit_code = ExitCode.USAGE


class ConfigError(UsageError):
    """An experiment file that cannot be run. `problems` holds one line each, with its path."""

    def __init__(self, source: str, problems: Sequence[str]) -> None:
        self.source = source
        self.problems = tuple(problems)
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__("\n".join([f"{source}: {count}", *(f"  {line}" for line in problems)]))


class EndOfTimeError(UsageError):
    """The virtual time of an experiment would exceed the largest time there is (ten years)."""


class TraceError(UsageError):
    """A trace line that cannot be used; the message begins with FILE:LINE."""


class TargetError(UsageError):
    """The program of `adpkv check` cannot be checked; the message names its file and line where
    there is one."""


class LeavesTheModelError(UsageError):
    """A checked program uses a socket, a process or a thread: refused where it is called."""


class NotProvidedError(LeavesTheModelError):
    """A checked program calls what the model of its library does not have. `of_name` is one for a
    name that is looked up, which a program may ask for with `hasattr`, or find missing."""

    @staticmethod
    def of_name(name: str) -> NotProvidedError:
        """The error of an attribute."""
        return _NoAttributeError(f"adpkv check does not provide {name}")

    @staticmethod
    def of_module(name: str) -> NotProvidedError:
        """The error of a module that is imported."""
        return _NoModuleError(f"adpkv check does not provide {name}")


class _NoAttributeError(NotProvidedError, AttributeError):
    pass


class _NoModuleError(NotProvidedError, ImportError):
    pass


class UnendingRankError(AdpkvError):
    """A rank of a checked program catches even what ends it, or waits outside of Python: its thread
    is left behind, and no schedule follows."""

    exit_code = ExitCode.DEADLOCK


class MissingPieceError(UsageError):
    """An optional package or device is needed; the message says how to get it."""


class BadCallError(AdpkvError, ValueError):
    """A piece of adpkv was made of, or called with, what it does not take. A bug of ours, unless a
    plugin has done it: then a `UsageError` names that."""


class IllegalTransitionError(AdpkvError):
    """A machine met an event that its table calls impossible. The state is left unchanged."""

    def __init__(self, subject: str, state: str, event: str, story: Sequence[str] = ()) -> None:
        self.subject, self.state, self.event, self.story = subject, state, event, tuple(story)
        lines = "\n".join(f"  {line}" for line in story)
        super().__init__(
            f"{subject}: event {event} cannot happen in state {state}"
            + (f"; its story:\n{lines}" if lines else "")
        )


class Place(NamedTuple):
    """Where a rank was when its job got stuck: in which collective, or in which activity alone."""

    rank: int
    kind: str
    site: str
    iteration: int


class RankProgramError(AdpkvError):
    """One rank's program ended at `place` while the other ranks go on.

    Only a historical policy (`adpkv/field_policies`) raises it; the contract's program never does.
    """

    def __init__(self, why: str, place: Place) -> None:
        self.place = place
        where = f"{place.kind} at {place.site}, iteration {place.iteration}"
        super().__init__(f"rank {place.rank} in {where}: {why}")


class RankLostError(AdpkvError):
    """The process of `rank` has failed.

    Raised in each surviving rank of its group; `place` is where that one waits for it.
    """

    exit_code = ExitCode.RANK_LOST

    def __init__(self, rank: int, place: Place) -> None:
        self.rank, self.place = rank, place
        where = f"{place.kind} at {place.site}, iteration {place.iteration}"
        super().__init__(f"rank {rank} has failed; it is missing from {where}")


class HostLostError(RankLostError):
    """Rank 0 has failed, and with it the coordinator, which admits requests, answers clients and
    writes the summary: the job ends at once."""

    def __init__(self, rank: int, place: Place) -> None:
        super().__init__(rank, place)
        self.args = (self.text(rank),)

    @staticmethod
    def text(rank: int) -> str:
        """The message of this error for `rank`."""
        return f"rank {rank} has failed, and with it the coordinator: the job ends"


class StuckError(AdpkvError):
    """The ranks can no longer go on together.

    The message says where each rank is. So does `places`, in rank order, for the ranks of which it
    is known.
    """

    exit_code = ExitCode.DEADLOCK

    def __init__(
        self, message: str, places: Iterable[Place] = (), group: int | None = None
    ) -> None:
        super().__init__(message)
        self.places = tuple(places)
        self.group = group
        """The group of ranks that is stuck; None for the whole job."""
        self.evidence: object = None
        """What is known of the ranks: a `diagnosis.evidence.Evidence`."""
        self.report: object = None
        """The diagnosis made from the evidence: a `diagnosis.report.Report`."""
        self.folder = ""
        """The folder that the run has written until then; empty if there is none."""
        self.unwritten: tuple[str, ...] = ()
        """Which files of the run could not be written, and why."""
        self.stories: tuple[str, ...] = ()
        """The histories of the requests concerned, as lines to print with the report."""


class CollectiveMismatchError(StuckError):
    """Two ranks of a group are in different collectives."""


class DeadlockError(StuckError):
    """Some ranks wait, and nothing that could end their wait will ever happen."""


class LivelockError(StuckError):
    """The ranks made many iterations at one instant of virtual time."""
