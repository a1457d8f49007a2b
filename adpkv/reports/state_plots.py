"""Plots of states over time: KV blocks, transfers under way and in doubt, health."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np

from adpkv.core.topology import Instance, Kind
from adpkv.reports.drawing import NS_PER_S, lines_of, rows_of, stacked, with_marks
from adpkv.reports.plot import Choice, Page, Plot, altair, time_axis, tooltip
from adpkv.reports.rank_series import blocks_over_time, of_ranks
from adpkv.reports.run_data import RunData
from adpkv.reports.series import Floats

__all__ = ["blocks", "health", "in_doubt"]

STATES: Final = ("quarantined", "in_transfer", "active", "cached", "free")
STATE_COLOURS: Final = ("$red", "$orange", "$blue", "$sky", "$pale")

MOST_INSTANCES: Final = 12
"""Instances that can be chosen one by one."""


def _instances(run: RunData) -> list[tuple[str, Sequence[Instance]]]:
    """What can be chosen: all instances of a kind together, and each alone if there are few."""
    topology = run.topology
    found: list[tuple[str, Sequence[Instance]]] = []
    for kind in (Kind.CONTEXT, Kind.GENERATION):
        instances = topology.of_kind(kind)
        if len(instances) > 1:
            found.append((f"all {kind.value} instances", instances))
    if len(topology.instances) <= MOST_INSTANCES:
        found += [(instance.name, [instance]) for instance in topology.instances]
    return found


def blocks(page: Page, run: RunData, edges: Floats) -> Plot:
    """KV blocks by state, of all instances of a kind and of each."""
    choices = []
    for number, (label, instances) in enumerate(_instances(run)):
        ranks = [rank for instance in instances for rank in instance.members]
        found = blocks_over_time(run, ranks, edges)
        data = f"blocks-{number}"
        page.data[data] = [
            row for state in STATES for row in rows_of(edges, found[state], state.replace("_", " "))
        ]
        names = [state.replace("_", " ") for state in STATES]
        area = stacked(page, data, names, STATE_COLOURS, "KV blocks", ",d")
        choices.append(Choice(label, with_marks(page, area)))
        in_use = f"{data}-in-use"
        page.data[in_use] = [row for row in page.data[data] if row["s"] in names[:3]]
        area = stacked(page, in_use, names[:3], STATE_COLOURS[:3], "KV blocks", ",d")
        choices.append(Choice(f"{label}, in use", with_marks(page, area)))
    return Plot(
        "blocks",
        "KV blocks, by state",
        "Where the blocks of a server are. Quarantined: a peer may still write into them, though "
        "their request has its answer. Cached: kept for prompts that begin alike.",
        choices,
        over_time=True,
        height=240,
    )


def in_doubt(page: Page, run: RunData, edges: Floats) -> Plot:
    """Transfers under way from the samples, those in quarantine from the events: exact."""
    doubts = np.array(sorted(run.doubts), np.int64).reshape(-1, 3)
    rows = []
    for instance in run.topology.instances[:MOST_INSTANCES]:
        own = doubts[np.isin(doubts[:, 1], np.array(instance.members))]
        rows += rows_of(edges, _highest(own, edges), instance.name)
    quarantine = lines_of(page, "doubtful", rows, "transfers in quarantine", "d", whole=True)
    choices = [Choice("in quarantine", quarantine)]
    if run.samples:
        rows = []
        for instance in run.topology.instances[:MOST_INSTANCES]:
            under_way = of_ranks(run, instance.members, "transfers", edges)
            rows += rows_of(edges, under_way, instance.name)
        chart = lines_of(page, "transfers", rows, "transfers under way", "d", whole=True)
        choices.append(Choice("under way", chart))
    peak = run.summary["transfers"]["quarantined_peak"]
    budget = run.experiment.transceiver.quarantine_budget
    return Plot(
        "quarantine",
        "KV transfers under way and in doubt",
        "A transfer is in quarantine while it is not proven that nobody touches its blocks any "
        f"more: the highest number in each bin, over the ranks of an instance. The budget of a "
        f"rank is {budget}; the worst rank had {peak} at once.",
        choices,
        over_time=True,
        height=180,
    )


def _highest(changes: Any, edges: Floats) -> Floats:
    """The highest value in each bin of a count that changes by one at a time."""
    level, place = 0, 0
    found = np.zeros(len(edges) - 1)
    at, by = changes[:, 0], changes[:, 2]
    for number, until in enumerate(edges[1:]):
        found[number] = level
        while place < len(at) and at[place] <= until:
            level += int(by[place])
            found[number] = max(found[number], level)
            place += 1
    return found


def health(page: Page, run: RunData) -> Plot:
    """When which ranks were unhealthy."""
    alt = altair()
    page.data["health"] = rows = list(_unhealthy(run))
    ranks = sorted({row["rank"] for row in rows})
    bars = (
        alt.Chart(alt.NamedData("health"))
        .mark_bar(color="$red", clip=True)
        .encode(
            x=time_axis(alt),
            x2="until:Q",
            y=alt.Y("rank:O", title="rank", axis=alt.Axis(labelOverlap=len(ranks) > 40)),
            tooltip=tooltip(
                alt, rank="rank:O", from_s="t:Q|.3f", until_s="until:Q|.3f", why="why:N"
            ),
        )
    )
    return Plot(
        "health",
        "When transceivers were unhealthy",
        "A bar for each time in which a rank saw no progress, or too much in doubt for too long. "
        "Ranks that were always healthy have no row.",
        [Choice("", with_marks(page, bars))],
        over_time=True,
        height=max(50, 17 * min(len(ranks), 40)),
    )


def _unhealthy(run: RunData) -> Iterable[dict[str, Any]]:
    since: dict[int, tuple[int, str]] = {}
    for at_ns, rank, healthy, why in sorted(run.health):
        if not healthy:
            since.setdefault(rank, (at_ns, why))
        elif rank in since:
            yield _bar(rank, *since.pop(rank), at_ns)
    for rank, (at_ns, why) in since.items():
        yield _bar(rank, at_ns, why, run.end_ns)


def _bar(rank: int, from_ns: int, why: str, until_ns: int) -> dict[str, Any]:
    return {"rank": rank, "t": from_ns / NS_PER_S, "until": until_ns / NS_PER_S, "why": why}
