"""How a schedule went wrong: what ends it, and what ends its ranks then."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from adpkv.exit_codes import ExitCode

__all__ = ["EXIT_CODES", "Died", "Failure", "Stop", "What", "lost", "rank_to_blame"]


class What(StrEnum):
    """What went wrong, as it was noticed."""

    MISMATCH = "mismatch"
    """Two ranks are at one position of a group with operations that do not match."""
    DEADLOCK = "deadlock"
    """Nobody can go on."""
    EXCEPTION = "exception"
    """A rank's program raised, or exited with a code other than 0."""
    UNWAITED = "unwaited"
    """A rank's program ended without waiting for an operation that it had started."""
    UNRECEIVED = "unreceived"
    """All programs have returned, and a message is left that nobody has received."""
    SPIN = "spin"
    """The ranks ask and ask, and nothing happens."""
    HANG = "hang"
    """A rank computes, or waits for something outside, for longer than the real-time bound."""
    REFUSED = "refused"
    """A rank does what leaves the model: it opens a socket, or starts a process or a thread."""


EXIT_CODES = {
    What.MISMATCH: ExitCode.DEADLOCK,
    What.DEADLOCK: ExitCode.DEADLOCK,
    What.SPIN: ExitCode.DEADLOCK,
    What.HANG: ExitCode.DEADLOCK,
    What.EXCEPTION: ExitCode.VIOLATION,
    What.UNWAITED: ExitCode.VIOLATION,
    What.UNRECEIVED: ExitCode.VIOLATION,
    What.REFUSED: ExitCode.USAGE,
}
"""What `adpkv check` ends with."""


class Failure(msgspec.Struct, frozen=True):
    """What went wrong first in a schedule."""

    what: What
    rank: int = -1
    """The rank that noticed it, or did it; -1 if it is no single one."""
    group: int = -1
    """The group whose ranks do not match; -1 if it is not about one."""
    position: int = 0
    message: str = ""
    file: str = ""
    """Where a program called what is refused."""
    line: int = 0


class Stop(BaseException):
    """Raised in each rank when its schedule is over. Not an Exception, so that a program that
    catches all of those still ends."""


class Died(Stop):
    """Raised in a rank that dies, where it cannot stand still instead."""


def lost(error: Exception, rank: int) -> Exception:
    """The error that a survivor gets from its library because `rank` is gone, marked as such."""
    error.__dict__["adpkv_lost"] = rank
    return error


def rank_to_blame(error: BaseException) -> int:
    """The rank that is gone, and because of which this was raised: by the library, or by a program
    from the library's error; -1 if it was not."""
    cause: BaseException | None = error
    while cause is not None:
        found = getattr(cause, "__dict__", {}).get("adpkv_lost")
        if found is not None:
            return int(found)
        cause = cause.__cause__
    return -1
