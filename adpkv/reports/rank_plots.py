"""Plots of what each rank did: computing, waiting for slower ranks, and idle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from adpkv.core.topology import Topology
from adpkv.reports.drawing import from_zero, rows_of, with_marks
from adpkv.reports.plot import Choice, Page, Plot, altair, time_axis, tooltip
from adpkv.reports.rank_series import of_ranks, rank_rates, totals
from adpkv.reports.run_data import RunData
from adpkv.reports.series import edges_of, rounded

__all__ = ["MOST_ROWS", "add_rank_plots"]

NS_PER_S: Final = 1e9

MOST_ROWS: Final = 48
"""Rows of a plot by rank; of more ranks some share a row."""

BINS: Final = 80
MOST_INSTANCES: Final = 7
SHARES: Final = {"computes": "$blue", "waits for slower ranks": "$orange", "in no step": "$pale"}


def add_rank_plots(page: Page, run: RunData) -> None:
    """The section of ranks; without samples there is none."""
    if not run.samples:
        return
    rows = _rows_of(run.topology)
    page.sections.append(
        (
            "Ranks",
            [_shares(page, run, rows), _wait_over_time(page, run), _over_time(page, run, rows)],
        )
    )


Row = tuple[str, Sequence[int]]
"""What a row is called, and which ranks it stands for."""


def _rows_of(topology: Topology) -> list[Row]:
    """A row for each rank; if they are too many, for neighbours of an instance together."""
    together = -(-topology.ranks // MOST_ROWS)
    found: list[Row] = []
    for instance in topology.instances:
        members = list(instance.members)
        for first in range(0, len(members), together):
            ranks = members[first : first + together]
            span = str(ranks[0]) if len(ranks) == 1 else f"{ranks[0]}-{ranks[-1]}"
            found.append((f"{span} ({instance.name})", ranks))
    return found


def _shares(page: Page, run: RunData, rows: Sequence[Row]) -> Plot:
    alt = altair()
    steps, own = totals(run, "step_ns"), totals(run, "own_ns")
    lasted = {rank: _until(run, rank) for rank in steps}
    data = []
    for name, ranks in rows:
        known = [rank for rank in ranks if lasted.get(rank, 0) > 0]
        if not known:
            continue
        computes = float(np.mean([min(own[r] / lasted[r], 1) for r in known]))
        in_steps = float(np.mean([min(steps[r] / lasted[r], 1) for r in known]))
        shares = (computes, max(in_steps - computes, 0), max(1 - in_steps, 0))
        data += [
            {"r": name, "s": what, "v": float(f"{share:.4g}"), "k": place}
            for place, (what, share) in enumerate(zip(SHARES, shares, strict=True))
        ]
    page.data["shares"] = data
    bars = (
        alt.Chart(alt.NamedData("shares"))
        .mark_bar()
        .encode(
            y=alt.Y("r:N", title="rank", sort=None, axis=alt.Axis(labelOverlap=False)),
            x=alt.X(
                "v:Q", title="share of the run's time", stack="zero",
                axis=alt.Axis(format="%", tickCount=6), scale=alt.Scale(domain=[0, 1]),
            ),
            color=alt.Color(
                "s:N", scale=alt.Scale(domain=list(SHARES), range=list(SHARES.values()))
            ),
            order="k:Q",
            tooltip=tooltip(alt, rank="r:N", what="s:N", share="v:Q|.1%"),
        )
    )  # fmt: skip
    return Plot(
        "ranks",
        "How each rank spent the run",
        _cost_text(run),
        [Choice("", alt.layer(bars))],
        height=max(60, 20 * len({row["r"] for row in data})),
    )


def _until(run: RunData, rank: int) -> int:
    own = run.samples["at_ns"][run.samples["rank"] == rank]
    return int(own.max()) if len(own) else 0


def _cost_text(run: RunData) -> str:
    """What the imbalance cost, in a sentence for each kind of instance that has steps."""
    told = []
    for name, found in list(run.summary["utilisation"].items())[:MOST_INSTANCES]:
        waited = found.get("step_wait_share")
        if waited is not None:
            told.append(f"{name} {waited:.1%}")
    cost = f" Of the time in steps this was, by instance: {', '.join(told)}." if told else ""
    return (
        "All ranks of a group run each forward step together, which takes as long as the slowest "
        f"of them: what the others wait is what the imbalance between them costs.{cost}"
    )


def _wait_over_time(page: Page, run: RunData) -> Plot:
    alt = altair()
    edges = edges_of(run.end_ns, BINS)
    steps, own = rank_rates(run, "step_ns", edges), rank_rates(run, "own_ns", edges)
    rows = []
    for instance in run.topology.instances[:MOST_INSTANCES]:
        known = [rank for rank in instance.members if rank in steps]
        in_steps = sum((steps[rank] for rank in known), np.zeros(BINS))
        waited = np.maximum(in_steps - sum((own[rank] for rank in known), np.zeros(BINS)), 0)
        share = np.divide(waited, in_steps, out=np.full(BINS, np.nan), where=in_steps > 1e-6)
        rows += rows_of(edges, share, instance.name)
    page.data["waits"] = rows
    names = list(dict.fromkeys(str(row["s"]) for row in rows))
    line = (
        alt.Chart(alt.NamedData("waits"))
        .mark_line(interpolate="step-after", clip=True)
        .encode(
            x=time_axis(alt),
            y=alt.Y(
                "v:Q",
                title="share of the time in steps",
                axis=alt.Axis(format="%"),
                scale=from_zero(rows),
            ),
            color=alt.Color("s:N", scale=alt.Scale(domain=names)),
            strokeDash=alt.StrokeDash("s:N", scale=alt.Scale(domain=names)),
            tooltip=tooltip(alt, instance="s:N", at_s="t:Q|.3f", waited="v:Q|.1%"),
        )
    )
    return Plot(
        "waits",
        "Waiting for the slowest rank, over time",
        "The share of the time in steps that the ranks of an instance waited, as a mean over them. "
        "No line: no steps.",
        [Choice("", with_marks(page, line))],
        over_time=True,
        height=180,
    )


def _over_time(page: Page, run: RunData, rows: Sequence[Row]) -> Plot:
    """Ranks by time as a map of colours."""
    edges = edges_of(run.end_ns, BINS)
    steps, own = rank_rates(run, "step_ns", edges), rank_rates(run, "own_ns", edges)
    tokens, nothing = rank_rates(run, "tokens", edges), np.zeros(BINS)
    data = []
    for name, ranks in rows:
        count = len(ranks)
        computes = sum((own.get(rank, nothing) for rank in ranks), nothing) / count
        in_steps = sum((steps.get(rank, nothing) for rank in ranks), nothing) / count
        made = sum((tokens.get(rank, nothing) for rank in ranks), nothing) / count * NS_PER_S
        used = 1 - of_ranks(run, ranks, "free", edges) / _pool(run, ranks)
        columns = [np.clip(computes, 0, 1), np.clip(in_steps - computes, 0, 1), made, used]
        data += [
            {"r": name, "t": at, "u": until, "a": a, "b": b, "c": c, "d": d}
            for at, until, a, b, c, d in zip(
                rounded(edges[:-1] / NS_PER_S, 7),
                rounded(edges[1:] / NS_PER_S, 7),
                *(rounded(column, 3) for column in columns),
                strict=True,
            )
        ]
    page.data["map"] = data
    return Plot(
        "rank-map",
        "Ranks over time",
        "Each row is a rank"
        + (", or neighbours together" if any(len(ranks) > 1 for _, ranks in rows) else "")
        + ". Stripes that differ between rows are imbalance.",
        [Choice(label, _map(page, field, title, form)) for label, field, title, form in _MAPS],
        over_time=True,
        height=max(72, 17 * len(rows)),
    )


_MAPS: Final = (
    ("computes", "a", "share of the time", "%"),
    ("waits for slower ranks", "b", "share of the time", "%"),
    ("tokens per second", "c", "tokens per second", "~s"),
    ("KV blocks in use or cached", "d", "share of its blocks", "%"),
)


def _pool(run: RunData, ranks: Sequence[int]) -> int:
    topology, blocks_of = run.topology, run.experiment.blocks_of
    return sum(blocks_of(topology.instance_of(rank).index) for rank in ranks)


def _map(page: Page, field: str, title: str, form: str) -> Any:
    alt = altair()
    tiles = (
        alt.Chart(alt.NamedData("map"))
        .mark_rect(clip=True)
        .encode(
            x=time_axis(alt),
            x2="u:Q",
            y=alt.Y("r:N", title="rank", sort=None, axis=alt.Axis(labelOverlap=False)),
            color=alt.Color(
                f"{field}:Q",
                scale=from_zero(page.data["map"], field, scheme="viridis"),
                legend=alt.Legend(
                    title=title, format=form, gradientLength=200, gradientThickness=10
                ),
            ),
            tooltip=tooltip(
                alt, rank="r:N", from_s="t:Q|.3f", computes="a:Q|.1%", waits="b:Q|.1%",
                tokens_per_s="c:Q|.3s", blocks_used="d:Q|.1%",
            ),
        )
    )  # fmt: skip
    return with_marks(page, tiles)
