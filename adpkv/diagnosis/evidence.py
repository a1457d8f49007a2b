"""What is known of every rank of a job that got stuck: plain, frozen, and the same for both worlds.

Each world fills it in, from what it sees; all that is said about a stuck job is a pure function of
it (`judging`, `why`, `graph`, `report`).
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
"""Kinds that end only when *all* members have come. Any other kind waits for *any* input."""


class State(StrEnum):
    """What a rank does, as far as others can tell."""

    COLLECTIVE = "collective"
    """It stands in a collective of a group."""
    ALONE = "alone"
    """It stands still by itself; nobody meets it there."""
    COMPUTING = "computing"
    """It has come to a step, and is at its own part of it."""
    MOVING = "moving"
    """It is between two collectives: computing, or turning in a loop."""
    STOPPED = "stopped"
    """Its process is suspended."""
    SILENT = "silent"
    """Its process lives, and says nothing."""
    FAILED = "failed"
    LEFT = "left"
    """Its program has ended."""
    UNBEGUN = "unbegun"
    """It has met nobody yet."""


class Position(msgspec.Struct, frozen=True):
    """A collective, by all that its members must agree on."""

    group: int
    kind: str
    site: str
    iteration: int
    sequence: int = 0
    """Which collective of the group this is for the rank, counted from 1; 0 where nobody counts."""
    argument: str = ""
    """What else must be equal there, such as the batch of a step."""
    plan: str = ""
    """A digest of the last plan that the rank agreed to."""
    began_ns: int = 0
    """When the rank came there, since the job began; 0 where that is not known."""

    @classmethod
    def of(
        cls, op: Operation, sequence: int = 0, plan: str = "", batch: Batch | None = None
    ) -> Position:
        """Where a rank that awaits `op` stands; `batch` is that of now if it is another."""
        if isinstance(op, Step) and batch is not None:
            op = msgspec.structs.replace(op, batch=batch)
        argument = op.place[len(op.site) :].strip("[]")
        return cls(op.group, op.kind, op.site, op.iteration, sequence, argument, plan)

    @property
    def collective(self) -> bool:
        """Does it end only when all have come?"""
        return self.kind in COLLECTIVES

    def told(self, *, numbered: bool = True) -> str:
        """For people: `tp_gather #1841 at flush`."""
        number = f" #{self.sequence}" if numbered and self.sequence else ""
        return f"{self.kind}{number} at {self.site}"


class Pins(msgspec.Struct, frozen=True):
    """What a rank that stands still keeps others from."""

    in_flight: tuple[int, ...] = ()
    """Requests whose transfer a peer may touch, those in quarantine not counted."""
    quarantined: tuple[int, ...] = ()
    staged: tuple[int, ...] = ()
    """Requests whose response has not left."""
    blocks: int = 0
    """KV blocks that are neither free nor cached, the dummy's not counted."""


class RankState(msgspec.Struct, frozen=True):
    """One rank."""

    rank: int
    group: int
    """Its own instance."""
    state: State
    at: Position | None = None
    """Where it stands, or was seen last."""
    since_s: float | None = None
    """For how long."""
    last: tuple[Position, ...] = ()
    """The collectives that it was in before, oldest first."""
    values: dict[str, int | str | bool] = {}
    """What it alone knows, by name, in order of weight (`local`)."""
    pins: Pins = Pins()
    peers: tuple[int, ...] = ()
    """Ranks whose message about a transfer it waits for."""
    messages: bool = False
    """It waits for the coordinator's messages."""
    stack: tuple[str, ...] = ()
    """Its Python stack, outermost first."""

    @property
    def stands(self) -> bool:
        """Is it in a collective, or in something that takes as long as one?"""
        return self.at is not None and self.state in (State.COLLECTIVE, State.ALONE)

    def in_group(self, group: int) -> Position | None:
        """Where it is in this group, if it is there."""
        at = self.at
        if at is None or at.group != group or not self.stands:
            return None
        return at if self.state is State.COLLECTIVE or at.collective else None


class Members(msgspec.Struct, frozen=True):
    """A group, by the ranks that are in it."""

    index: int
    name: str
    ranks: tuple[int, ...]


class Evidence(msgspec.Struct, frozen=True):
    """One stuck job."""

    world: str
    error: str
    """`mismatch`, `deadlock` or `livelock`: how it was noticed."""
    message: str
    rank_states: tuple[RankState, ...]
    groups: tuple[Members, ...]
    group: int | None = None
    """The group that was noticed; None where the whole job stands."""
    at_s: float | None = None
    """When, since the job began."""
    coordinator: str = ""
    """What the coordinator does; nothing where it is not known."""

    def of_group(self, group: int) -> list[RankState]:
        """The members of a group, in order."""
        ranks = {rank for found in self.groups if found.index == group for rank in found.ranks}
        return [rank_state for rank_state in self.rank_states if rank_state.rank in ranks]

    def name(self, group: int) -> str:
        """What a group is called."""
        if group == WORLD:
            return "the whole job"
        return next((g.name for g in self.groups if g.index == group), f"group {group}")
