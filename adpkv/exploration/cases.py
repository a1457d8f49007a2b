"""One case: an experiment, and the choices of one of its runs. All that a replay needs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from adpkv.config import Experiment
from adpkv.core.ids import NEVER
from adpkv.exploration.schedules import CALM, Choices, Drawn, Priorities, Spread, Written
from adpkv.worlds.virtual.schedule import Schedule

__all__ = ["MOST_DEPTH", "Case", "Pct"]

MOST_DEPTH: Final = 64
"""Of `pct`: it has a priority for each."""


@dataclass(frozen=True, slots=True)
class Pct:
    """The arguments of `schedules.Priorities`."""

    seed: int
    depth: int
    owners: int
    events: int


@dataclass(frozen=True, slots=True)
class Case:
    """One run that may be made, as a value."""

    experiment: Experiment
    schedule: Choices | Spread | Pct = CALM
    healed_ns: int = NEVER
    """From then on no fault acts, and what the faults have left behind is over; `NEVER` where
    nobody knows."""

    def choose(self) -> Schedule | None:
        """The schedule; None for that of a world without one."""
        how = self.schedule
        if isinstance(how, Choices):
            return Written(how) if len(how) else None
        if isinstance(how, Spread):
            return Drawn(how) if how.order or how.haste or how.speed else None
        return Priorities(how.seed, how.depth, how.owners, how.events)

    def under(self, schedule: Choices | Spread | Pct) -> Case:
        """The same experiment under another schedule."""
        return replace(self, schedule=schedule)
