"""How many ranks of a run shared a core: what an iteration costs depends on it.

With a core for each rank all jobs of a machine are alike. Where ranks share cores, those of a
larger job wait for each other's work too, in groups of the same size: only jobs with as many ranks
on a core are alike, and a calibration is of these.
"""

from __future__ import annotations

from collections.abc import Sequence

from adpkv.calibration.samples import RunSamples

__all__ = ["alike", "by_crowding", "crowding", "is_told"]

FREE = 1.0
"""A core for each rank, or more."""


def crowding(run: RunSamples) -> float:
    """Its ranks on a core. A run that does not say so is taken for one with all its ranks on one:
    so those with as many are alike."""
    found = _told(run)
    return float(run.experiment.topology.build().ranks) if found is None else max(found, FREE)


def is_told(run: RunSamples) -> bool:
    """Whether the run says how many of its ranks shared a core."""
    return _told(run) is not None


def _told(run: RunSamples) -> float | None:
    found = run.summary.get("ranks_per_core")
    return float(found) if isinstance(found, int | float) else None


def by_crowding(runs: Sequence[RunSamples]) -> dict[float, list[RunSamples]]:
    """The runs that are alike, those with most room first."""
    found: dict[float, list[RunSamples]] = {}
    for run in sorted(runs, key=crowding):
        found.setdefault(crowding(run), []).append(run)
    return found


def alike(runs: Sequence[RunSamples], own: RunSamples) -> tuple[list[RunSamples], list[RunSamples]]:
    """(those of `runs` that are like `own`, the others); if none is, those that are nearest."""
    wanted = crowding(own)
    nearest = min(map(crowding, runs), key=lambda one: (abs(one - wanted), one), default=wanted)
    like = [run for run in runs if crowding(run) == nearest]
    return like, [run for run in runs if crowding(run) != nearest]
