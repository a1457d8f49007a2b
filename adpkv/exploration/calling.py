"""Makes a whole exploration: what the command line and the library share."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from adpkv.errors import UsageError
from adpkv.exploration.campaign import Campaign, Plan, Watching, concluded, run_campaign
from adpkv.exploration.folder import ExplorationFolder
from adpkv.exploration.pool import Pool, local_pool
from adpkv.exploration.result import Exploration
from adpkv.exploration.shrinking import MOST_S

__all__ = ["Bounds", "explore_into", "explore_plan", "jobs_for"]


@dataclass(frozen=True, slots=True)
class Bounds:
    """When an exploration ends before its seeds are run."""

    for_s: float | None = None
    most_finds: int | None = None
    shrink_s: float = MOST_S
    """How long making one find small may take; 0: finds stay as they are."""


def jobs_for(asked: int | None) -> int:
    """`asked`, or as many as there are cores.

    Raises:
        UsageError: less than one is asked for.
    """
    if asked is not None and asked < 1:
        raise UsageError(f"--jobs {asked}: at least one works")
    return asked or len(os.sched_getaffinity(0))


def explore_plan(
    plan: Plan, jobs: int, bounds: Bounds, watch: Watching = lambda campaign: None
) -> Exploration:
    """An exploration that leaves nothing behind."""
    campaign, began_s = Campaign(plan), time.monotonic()
    with local_pool(jobs) as pool:
        _run(campaign, pool, bounds, watch, lambda result: None)
    wall_s = time.monotonic() - began_s
    return concluded(campaign, wall_s, most_s=bounds.shrink_s)


def explore_into(
    folder: ExplorationFolder,
    pools: AbstractContextManager[Pool],
    bounds: Bounds,
    watch: Watching = lambda campaign: None,
    note: Callable[[str], None] = lambda text: None,
) -> Exploration:
    """An exploration into its folder, however it ends.

    Raises:
        OSError: a file cannot be written.
    """
    campaign, began_s = folder.campaign, time.monotonic()
    halted = True
    try:
        with pools as pool:
            _run(campaign, pool, bounds, watch, folder.keep)
        halted = False
    finally:
        # Halted, the finds are not made small: whoever asked for an end is waiting.
        wall_s = time.monotonic() - began_s
        found = concluded(
            campaign,
            wall_s,
            halted=halted,
            most_s=0 if halted else bounds.shrink_s,
            watch=lambda known_by: note(f"making {known_by} small"),
        )
        found = folder.close_with(found)
    return found


def _run(
    campaign: Campaign,
    pool: Pool,
    bounds: Bounds,
    watch: Watching,
    keep: Callable[..., None],
) -> None:
    until_s = None if bounds.for_s is None else time.monotonic() + bounds.for_s
    run_campaign(
        campaign, pool, until_s=until_s, watch=watch, keep=keep, most_finds=bounds.most_finds
    )
