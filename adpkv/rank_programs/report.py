"""What is known of a failed schedule, as `report_values` and `report_text` say it."""

from __future__ import annotations

import msgspec

from adpkv.rank_programs.classify import Diagnosis
from adpkv.rank_programs.evidence import Evidence, Place
from adpkv.rank_programs.races import Race

__all__ = ["Report", "Smaller", "Why"]


class Why(msgspec.Struct, frozen=True):
    """Where the odd rank and the others took different ways, and what differed there."""

    file: str
    line: int
    function: str
    odd: int
    """The rank that is compared."""
    other: int
    """The one of the others that it is compared with."""
    parted: int = 0
    """The first position at which they were not together; 0 where it is no position."""
    odd_next: int = 0
    """The line that the odd rank went on to; 0 for none that the program has."""
    others_next: int = 0
    like_other: tuple[int, ...] = ()
    """The ranks that went the way of `other`."""
    alike: tuple[int, ...] = ()
    """The ranks that went where the odd rank went."""
    variables: tuple[tuple[str, dict[int, str]], ...] = ()
    """Name and value on each rank, the most telling first."""
    odd_there: Place | None = None
    """What each did at the position where they parted."""
    other_there: Place | None = None


class Smaller(msgspec.Struct, frozen=True):
    """The same find with fewer ranks."""

    ranks: int
    token: str
    replay: str
    """The command that makes it."""


class Report(msgspec.Struct, frozen=True):
    """Everything that is known of a failed schedule."""

    target: str
    evidence: Evidence
    diagnosis: Diagnosis
    why: Why | None
    schedules: int
    """How many schedules were made, this one included."""
    choices: int
    """How many of the schedule's choices are not the first option."""
    token: str
    replay: str
    """The command that makes this schedule again."""
    races: tuple[Race, ...] = ()
    """The receives from any rank that could have taken another message."""
    unending: str = ""
    """Which rank does not end when it is told to, and where."""
    smaller: Smaller | None = None
