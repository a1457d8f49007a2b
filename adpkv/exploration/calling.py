"""Makes a whole exploration: what the command line and the library share."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from adpkv.config import Experiment
from adpkv.config.workload import ScriptConfig
from adpkv.errors import UsageError
from adpkv.exploration.batch import Find
from adpkv.exploration.campaign import Campaign, Plan, Watching, concluded, run_campaign
from adpkv.exploration.cases import Case
from adpkv.exploration.coverage import Coverage
from adpkv.exploration.exhaustive import Walk, walk
from adpkv.exploration.folder import ExplorationFolder
from adpkv.exploration.pool import Pool, local_pool
from adpkv.exploration.replay_file import file_text, record
from adpkv.exploration.result import Exploration
from adpkv.exploration.shrinking import MOST_S
from adpkv.exploration.trial import check_ports, signature

__all__ = [
    "Bounds",
    "all_so_far",
    "check_walkable",
    "explore_all",
    "explore_into",
    "explore_plan",
    "jobs_for",
]


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
    halted, earlier = True, campaign.seeds
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
        found = folder.close_with(replace(found, earlier=earlier))
    return found


def check_walkable(experiment: Experiment) -> None:
    """Whether all interleavings of this experiment can be walked.

    Raises:
        UsageError: its requests are not written down one by one, or a port that it names cannot be
            made.
    """
    if not isinstance(experiment.workload, ScriptConfig):
        raise UsageError(
            f"{experiment.name}: workload.kind: --strategy exhaustive walks the requests of a"
            " script, two or three of them"
        )
    check_ports(Case(experiment))


def explore_all(
    experiment: Experiment,
    bounds: Bounds,
    watch: Callable[[Walk], None] = lambda walked: None,
    into: Walk | None = None,
) -> Exploration:
    """Walk all interleavings of an experiment as it is. `into` is filled as it goes: what it holds
    of a walk that is broken off, `all_so_far` tells.

    Raises:
        UsageError: its requests are not written down one by one.
    """
    check_walkable(experiment)
    began_s = time.monotonic()
    walked = walk(
        Case(experiment),
        until_s=None if bounds.for_s is None else began_s + bounds.for_s,
        most_finds=bounds.most_finds,
        watch=watch,
        into=into,
    )
    return _of_walk(experiment, walked, began_s, bounds.shrink_s)


def all_so_far(experiment: Experiment, walked: Walk, began_s: float) -> Exploration:
    """What a walk has found that was broken off; whoever asked for an end is waiting, so no find is
    made small."""
    return _of_walk(experiment, walked, began_s, 0, halted=True)


def _of_walk(
    experiment: Experiment, walked: Walk, began_s: float, shrink_s: float, *, halted: bool = False
) -> Exploration:
    plan = Plan(experiment.name, "", "exhaustive")
    reached = {**walked.facts, **walked.lines}
    campaign = Campaign(plan, seeds=walked.paths, coverage=Coverage(reached))
    for number, trial in enumerate(walked.finds):
        known_by = signature(trial.found)
        detail, code = trial.found[0].detail, int(trial.exit_code)
        text = file_text(record(trial))
        campaign.finds[known_by] = Find(known_by, number, detail, code, trial.stuck, text)
        campaign.counts[known_by] = walked.wrong[known_by]
    found = concluded(campaign, time.monotonic() - began_s, halted=halted, most_s=shrink_s)
    return replace(found, walk=walked.data())


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
