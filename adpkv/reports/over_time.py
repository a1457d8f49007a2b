"""Plots of a run over time: what is in flight and in doubt, tokens, blocks, health, faults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from adpkv.reports.drawing import NS_PER_S, lines_of, mark_tip, rows_of, stacked, with_marks
from adpkv.reports.plot import BRUSHED, Choice, Page, Plot, altair, time_axis
from adpkv.reports.rank_series import tokens_over_time
from adpkv.reports.run_data import OUTCOMES, RunData
from adpkv.reports.series import Floats, counts_in, edges_of, mean_overlap
from adpkv.reports.state_plots import blocks, health, in_doubt
from adpkv.reports.style import OUTCOME_COLOURS

__all__ = ["add_time_plots"]

PHASES: Final[Mapping[str, tuple[str, ...]]] = {
    "waits for prefill": ("coordinator_queue_ns", "context_queue_ns"),
    "prefill": ("prefill_ns",),
    "handed over": ("hand_over_ns", "lost_attempts_ns"),
    "waits for blocks or a slot": ("block_wait_ns", "slot_wait_ns", "peer_slot_wait_ns"),
    "KV transfer": ("kv_transfer_ns",),
    "decode": ("decode_queue_ns", "decode_ns"),
}
"""A request's columns in the order in which it passes them, those that are alike together."""

PHASE_COLOURS: Final = ("$pale", "$sky", "$purple", "$grey", "$orange", "$blue")

SHAPES: Final = ("triangle-down", "square", "diamond", "cross", "circle", "triangle-up", "wedge")


def add_time_plots(page: Page, run: RunData) -> None:
    """The section of plots over time."""
    edges = edges_of(run.end_ns)
    page.end_s = run.end_ns / NS_PER_S
    page.data["marks"] = _mark_rows(run, edges)
    parts: list[Plot | str] = [_in_flight(page, run, edges)]
    if run.marks:
        parts.append(_what_happened(page))
    if len(run.outcomes):
        parts.append(_outcomes(page, run))
    parts.append(_throughput(page, run))
    if run.samples:
        parts.append(blocks(page, run, edges))
    if run.has_events:
        parts.append(in_doubt(page, run, edges))
        parts.append(health(page, run) if run.health else _TEXT_HEALTHY)
    page.sections.append(("Over time", parts))


_TEXT_HEALTHY: Final = (
    '<p class="fact"><strong>Health:</strong> every transceiver was healthy all the time.</p>'
)


def _mark_rows(run: RunData, edges: Floats) -> list[dict[str, Any]]:
    """At most one of each kind in each bin."""
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for mark in run.marks:
        place = min(int(np.searchsorted(edges, mark.at_ns, side="right")), len(edges) - 1)
        who = f"rank {mark.rank}" if mark.rank >= 0 else "coordinator"
        row = found.setdefault(
            (mark.kind, place),
            {
                "t": round(mark.at_ns / NS_PER_S, 6),
                "kind": mark.kind,
                "grave": mark.is_grave,
                "times": 0,
                "text": mark.text or who,
            },
        )
        row["times"] += 1
    return list(found.values())


def _in_flight(page: Page, run: RunData, edges: Floats) -> Plot:
    at = run.requests["arrival_ns"].copy()
    rows = []
    for phase, columns in PHASES.items():
        until = at + sum(run.requests[column] for column in columns)
        rows += rows_of(edges, mean_overlap(at, until, edges), phase)
        at = until
    if len(run.open_ns):
        ends = np.full(len(run.open_ns), run.end_ns)
        rows += rows_of(edges, mean_overlap(run.open_ns, ends, edges), "without an answer")
    page.data["in_flight"] = rows
    names = [*PHASES, *(["without an answer"] if len(run.open_ns) else [])]
    colours = [*PHASE_COLOURS, *(["$red"] if len(run.open_ns) else [])]
    area = stacked(page, "in_flight", names, colours, "requests in flight", ".2f", BRUSHED)
    return Plot(
        "in-flight",
        "Requests in flight, by phase",
        "Mean number in each bin. Drag across it to see a part of the time in all plots over time; "
        "double-click for all of it. Triangles are faults; what is between servers is drawn "
        "between prefill and transfer.",
        [Choice("", with_marks(page, area))],
        over_time=True,
        chooses_time=True,
        height=240,
    )


def _what_happened(page: Page) -> Plot:
    alt = altair()
    kinds = list(dict.fromkeys(str(row["kind"]) for row in page.data["marks"]))
    chart = (
        alt.Chart(alt.NamedData("marks"))
        .mark_point(filled=True, size=72, opacity=0.85, clip=True)
        .encode(
            x=time_axis(alt),
            y=alt.Y("kind:N", title=None, sort=kinds),
            color=alt.condition("datum.grave", alt.value("$red"), alt.value("$orange")),
            shape=alt.Shape("kind:N", sort=kinds, legend=None, scale=alt.Scale(range=list(SHAPES))),
            tooltip=mark_tip(alt),
        )
    )
    return Plot(
        "faults",
        "What happened",
        "Faults, and what followed for ranks and groups. One mark may stand for several of a kind.",
        [Choice("", alt.layer(chart))],
        over_time=True,
        height=max(40, 26 * len(kinds)),
    )


def _outcomes(page: Page, run: RunData) -> Plot:
    wide = edges_of(run.end_ns, 80)
    rows = []
    for number, outcome in enumerate(OUTCOMES):
        ended = run.requests["ended_ns"][run.outcomes == number]
        if len(ended):
            rows += rows_of(wide, counts_in(ended, wide), outcome.value.replace("_", " "))
    page.data["outcomes"] = rows
    width_s = run.end_ns / NS_PER_S / 80
    names = [name for name in OUTCOME_COLOURS if any(row["s"] == name for row in rows)]
    area = stacked(
        page,
        "outcomes",
        names,
        [OUTCOME_COLOURS[name] for name in names],
        f"answers in {width_s:.3g} s",
        "d",
        whole=True,
    )
    return Plot(
        "outcomes",
        "Answers, by outcome",
        "When clients had their last answer, and which one.",
        [Choice("", with_marks(page, area))],
        over_time=True,
        height=180,
    )


def _throughput(page: Page, run: RunData) -> Plot:
    wide = edges_of(run.end_ns, 120)
    tokens = [
        Choice(
            name, lines_of(page, name.replace(" ", "-"), rows_of(wide, rate, name), f"{name} per s")
        )
        for name, rate in tokens_over_time(run, wide).items()
    ]
    per_s = NS_PER_S / np.diff(wide)
    requests = lines_of(
        page,
        "rates",
        [
            *rows_of(wide, counts_in(run.requests["arrival_ns"], wide) * per_s, "arrive"),
            *rows_of(wide, counts_in(run.requests["ended_ns"], wide) * per_s, "are answered"),
        ],
        "requests per second",
    )
    return Plot(
        "throughput",
        "Throughput",
        "Tokens that the ranks computed and made, and requests as they came and went.",
        [*reversed(tokens), Choice("requests", requests)],
        over_time=True,
    )
