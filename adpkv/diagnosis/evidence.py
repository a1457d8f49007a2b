"""What is known of every rank of a job that got stuck: plain, frozen values, the same for both
worlds.

Each world fills it in. Everything that a report says is a pure function of it (`classify`, `why`,
`graph`, `report`).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from adpkv.executor.collectives import WORLD, Operation, Step
from adpkv.model.port import Batch

__all__ = ["COLLECTIVES", "Evidence", "Members", "Pins", "Position", "RankState", "State"]

COLLECTIVES: Final = frozenset(
    {"tp_broadcast", "tp_allgather", "tp_gather", "world_allgather", "step"}
)
"""The kinds that end only when *all* members have come. Any other kind waits for *any* input."""


class State(StrEnum):
    """What a rank is doing, as far as others can tell."""

    COLLECTIVE = "collective"
    """It is in a collective of a group."""
    ALONE = "alone"
    """It waits by itself; no other rank takes part."""
    COMPUTING = "computing"
    """It has come to a step, and is at its own part of it."""
    MOVING = "moving"
    """It is between two collectives: it computes, or loops without end."""
    STOPPED = "stopped"
    """Its process is suspended."""
    SILENT = "silent"
    """Its process lives, and does not answer."""
    FAILED = "failed"
    LEFT = "left"
    """Its program has ended."""
    UNBEGUN = "unbegun"
    """It has not come to any collective yet."""


class Position(msgspec.Struct, frozen=True):
    """A collective, by everything on which its members must agree."""

    group: int
    kind: str
    site: str
    iteration: int
    sequence: int = 0
    """The number of this collective for the rank among its group's, counted from 1; 0 if not
    counted."""
    argument: str = ""
    """What else must be equal on all members, such as the batch of a step."""
    plan: str = ""
    """A digest of the last plan that the group agreed on, as this rank has it."""
    began_ns: int = 0
    """When the rank came there, in nanoseconds of the run's clock; 0 if that is not known."""

    @classmethod
    def of(
        cls, op: Operation, sequence: int = 0, plan: str = "", batch: Batch | None = None
    ) -> Position:
        """The position of a rank that awaits `op`. `batch` replaces the batch of a step, for a rank
        that has made steps since it came there."""
        place = op.place
        if isinstance(op, Step) and batch is not None:
            place = op.place_with(batch)
        argument = place[len(op.site) :].strip("[]")
        return cls(op.group, op.kind, op.site, op.iteration, sequence, argument, plan)

    @property
    def collective(self) -> bool:
        """Does it end only when all members have come?"""
        return self.kind in COLLECTIVES

    def describe(self, *, numbered: bool = True) -> str:
        """For people: `tp_gather #1841 at flush`."""
        number = f" #{self.sequence}" if numbered and self.sequence else ""
        return f"{self.kind}{number} at {self.site}"


class Pins(msgspec.Struct, frozen=True):
    """What a stuck rank holds, and so keeps from others."""

    in_flight: tuple[int, ...] = ()
    """Requests with a transfer that a peer may still write or read; quarantined ones are not among
    them."""
    quarantined: tuple[int, ...] = ()
    staged: tuple[int, ...] = ()
    """Requests with a response that has not been sent."""
    blocks: int = 0
    """KV blocks that are neither free nor cached, without the dummy's block."""


class RankState(msgspec.Struct, frozen=True):
    """What is known of one rank."""

    rank: int
    group: int
    """Its own instance's group."""
    state: State
    at: Position | None = None
    """Where it is, or was seen last."""
    since_s: float | None = None
    """For how long, in seconds."""
    last: tuple[Position, ...] = ()
    """The collectives that it was in before, oldest first."""
    values: dict[str, int | str | bool] = {}
    """What only this rank knows, by name, the most telling first (`rank_knowledge`)."""
    pins: Pins = Pins()
    peers: tuple[int, ...] = ()
    """Ranks from which it waits for a message about a transfer."""
    messages: bool = False
    """Whether it waits for messages of the coordinator."""
    stack: tuple[str, ...] = ()
    """Its Python stack, outermost first."""

    @property
    def is_waiting(self) -> bool:
        """Does it wait in a collective, or alone?"""
        return self.at is not None and self.state in (State.COLLECTIVE, State.ALONE)

    def in_group(self, group: int) -> Position | None:
        """Where it is in this group; None if it is not there."""
        at = self.at
        if at is None or at.group != group or not self.is_waiting:
            return None
        return at if self.state is State.COLLECTIVE or at.collective else None


class Members(msgspec.Struct, frozen=True):
    """A group and its ranks."""

    index: int
    name: str
    ranks: tuple[int, ...]


class Evidence(msgspec.Struct, frozen=True):
    """Everything that is known of one stuck job."""

    world: str
    error: str
    """How the problem was noticed: `mismatch`, `deadlock` or `livelock`."""
    message: str
    rank_states: tuple[RankState, ...]
    groups: tuple[Members, ...]
    group: int | None = None
    """The group in which it was noticed; None where the whole job is stuck."""
    at_s: float | None = None
    """When, in seconds of the run's clock."""
    coordinator: str = ""
    """What the coordinator is doing; empty if that is not known."""

    def of_group(self, group: int) -> list[RankState]:
        """The members of a group, in rank order."""
        ranks = {rank for found in self.groups if found.index == group for rank in found.ranks}
        return [rank_state for rank_state in self.rank_states if rank_state.rank in ranks]

    def name(self, group: int) -> str:
        """The name of a group."""
        if group == WORLD:
            return "the whole job"
        return next((g.name for g in self.groups if g.index == group), f"group {group}")
