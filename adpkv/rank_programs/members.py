"""The ranks and groups of one schedule: what `world` keeps of each."""

from __future__ import annotations

from types import FrameType
from typing import NamedTuple

from adpkv.rank_programs.operations import Arrival, Collective, Wait

__all__ = ["Group", "Killed", "Rank"]


class Group:
    """Ranks that have collectives together."""

    __slots__ = (
        "living", "name", "number", "open", "patience_ns", "raising", "ranks", "revoked",
        "timeout_ns",
    )  # fmt: skip

    def __init__(self, number: int, name: str, ranks: tuple[int, ...]) -> None:
        self.number, self.name, self.ranks = number, name, ranks
        self.open: dict[int, Collective] = {}
        """By position: those to which not all members have come."""
        self.living = False
        """Its collectives are complete once all members have come that live."""
        self.patience_ns = 0
        """How long its members wait for one that is gone, until they are told."""
        self.timeout_ns = 0
        """How long they wait for a message from any of them, once one is gone."""
        self.revoked = False
        """A member has ended it for all."""
        self.raising: set[int] = set()
        """The members that asked for errors instead of the end of the job (MPI)."""


class Rank:
    """One rank of the schedule."""

    __slots__ = (
        "counts", "deadline_ns", "ended", "error", "frames", "history", "intends", "number", "on",
        "polling", "started", "steps", "unwaited", "what",
    )  # fmt: skip

    def __init__(self, number: int) -> None:
        self.number = number
        self.on: Wait | None = None
        """What it waits for."""
        self.what = ""
        """The same for people."""
        self.deadline_ns = 0
        """When its wait ends anyway; 0 for never."""
        self.polling = False
        """It has asked in vain, and comes last."""
        self.started = False
        self.steps = 0
        """How often a coroutine went on without having waited."""
        self.intends = ""
        """What a coroutine does when it goes on: `meet`, `message`, or it is not known."""
        self.ended = ""
        """How its program ended: `returned`, `raised`, `killed`, `aborted`; empty as long as it
        runs."""
        self.error: BaseException | None = None
        self.counts: dict[int, int] = {}
        """By group: to how many of its positions the rank has come."""
        self.history: list[Arrival] = []
        self.unwaited: dict[Arrival | None, Arrival] = {}
        """What it has started and not waited for."""
        self.frames: list[FrameType] = []
        """The program's frames, innermost first, while a failed schedule is looked at."""


class Killed(NamedTuple):
    """A rank that was killed."""

    rank: int
    at: Arrival
    """The operation to which it came."""
    within: bool
    """It had done its part."""
    clock_ns: int
