"""Plots of how long requests took: over time, as distributions, and where the time went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from adpkv.core.columns import COLUMNS
from adpkv.core.values import Outcome
from adpkv.output.figures import COLUMN_TITLES
from adpkv.reports.drawing import with_marks
from adpkv.reports.plot import Choice, Page, Plot, altair, time_axis, tooltip
from adpkv.reports.run_data import OUTCOMES, RunData
from adpkv.reports.series import Floats, edges_of
from adpkv.reports.style import OUTCOME_COLOURS

__all__ = ["MOST_DOTS", "add_latency_plots"]

NS_PER_S: Final = 1e9

MOST_DOTS: Final = 1500
"""Requests that are drawn one by one."""

CURVE: Final = 160
"""Points of a distribution's curve, besides its tail."""

TAIL: Final = (0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999, 1.0)
GROUPS: Final = {"all": 0.0, "slowest 10 %": 0.9, "slowest 1 %": 0.99}
"""Requests by the share of requests that took less."""

BINS: Final = 60
LEAST_PER_BIN: Final = 4
"""Fewer requests in a bin have no percentiles."""


def add_latency_plots(page: Page, run: RunData) -> None:
    """The section of latencies; without a request that completed there is none."""
    measured = _measured(run)
    if not any(len(values) for _, values in measured.values()):
        if len(run.outcomes):
            page.notes.append("No request completed: there are no latencies.")
        return
    page.sections.append(
        (
            "Latency",
            [
                _over_time(page, run, measured),
                _distribution(page, run, measured),
                _where_it_went(page, run),
            ],
        )
    )


Measured = Mapping[str, tuple[npt.NDArray[np.bool_], Floats]]


def _measured(run: RunData) -> Measured:
    """By name: which requests have it, and how long it took them, in seconds."""
    requests = run.requests
    done = run.ended_as(Outcome.COMPLETED)
    arrival, first, ended = (requests[f"{at}_ns"] for at in ("arrival", "first_token", "ended"))
    told = done & (requests["tokens"] > 0)
    several = done & (requests["tokens"] > 1)
    e2e = (ended - arrival) / NS_PER_S
    ttft = (first - arrival) / NS_PER_S
    tpot = (e2e - ttft) / np.maximum(requests["tokens"] - 1, 1)
    transfer = requests["kv_transfer_ns"] / NS_PER_S
    moved = done & (transfer > 0)
    return {
        "time to first token": (told, ttft[told]),
        "time per output token": (several, tpot[several]),
        "end to end": (done, e2e[done]),
        "KV transfer": (moved, transfer[moved]),
    }


_SLO: Final = {
    "time to first token": "ttft_ns",
    "time per output token": "tpot_ns",
    "end to end": "e2e_ns",
}


def _objective_s(run: RunData, name: str) -> float | None:
    slo, key = run.experiment.slo, _SLO.get(name)
    value = None if slo is None or key is None else getattr(slo, key)
    return None if value is None else value / NS_PER_S


def _chosen_dots(run: RunData) -> npt.NDArray[np.int64]:
    """The requests that are drawn: those that did not complete, the slowest, and of the others as
    many as there is room for, evenly by their order."""
    count = len(run.outcomes)
    if count <= MOST_DOTS:
        return np.arange(count)
    took = run.requests["ended_ns"] - run.requests["arrival_ns"]
    bad = np.flatnonzero(~run.ended_as(Outcome.COMPLETED))
    if len(bad) > MOST_DOTS // 3:
        bad = bad[np.linspace(0, len(bad) - 1, MOST_DOTS // 3).astype(np.int64)]
    slow = np.argsort(took)[-MOST_DOTS // 5 :]
    kept = np.union1d(bad, slow)
    rest = np.setdiff1d(np.arange(count), kept)
    room = MOST_DOTS - len(kept)
    some = rest[np.linspace(0, len(rest) - 1, min(room, len(rest))).astype(np.int64)]
    return np.union1d(kept, some)


def _over_time(page: Page, run: RunData, measured: Measured) -> Plot:
    alt = altair()
    dots = _chosen_dots(run)
    page.data["requests"] = _dot_rows(run, dots, measured)
    drawn = {OUTCOMES[number].value.replace("_", " ") for number in run.outcomes[dots]}
    names = [name for name in OUTCOME_COLOURS if name in drawn]
    choices = []
    for number, (name, (which, values)) in enumerate(measured.items()):
        data = f"percentiles-{number}"
        page.data[data] = _percentiles(run, which, values)
        points = (
            alt.Chart(alt.NamedData("requests"))
            .transform_filter(f"datum.m{number} > 0")
            .mark_point(filled=True, size=22, opacity=0.55, clip=True)
            .encode(
                x=time_axis(alt),
                y=alt.Y(f"m{number}:Q", title=f"{name} (s)", scale=alt.Scale(type="log"),
                        axis=alt.Axis(format="~g", tickCount=5)),
                color=alt.Color("o:N", scale=alt.Scale(
                    domain=names, range=[OUTCOME_COLOURS[name] for name in names])),
                shape=alt.Shape("o:N", scale=alt.Scale(domain=names)),
                tooltip=tooltip(
                    alt, request="i:Q", outcome="o:N", why="d:N", took_s=f"m{number}:Q|.4g",
                    prompt_tokens="p:Q", output_tokens="n:Q", context_rank="c:Q",
                    generation_rank="g:Q",
                ),
            )
        )  # fmt: skip
        lines = (
            alt.Chart(alt.NamedData(data))
            .mark_line(color="$text", clip=True, interpolate="monotone")
            .encode(
                x=time_axis(alt),
                y="v:Q",
                strokeDash=alt.StrokeDash(
                    "s:N", sort=["p50", "p99"], legend=alt.Legend(title="of completed:")
                ),
                tooltip=tooltip(alt, percentile="s:N", at_s="t:Q|.3f", took_s="v:Q|.4g"),
            )
        )
        chart = alt.layer(points, lines, *_objective(alt, run, name))
        choices.append(Choice(name, with_marks(page, chart)))
    thinned = len(dots) < len(run.outcomes)
    return Plot(
        "latency-over-time",
        "Latency of each request, by its arrival",
        "A dot is a request; the lines are percentiles of those that completed."
        + (
            f" Drawn are {len(dots):,} of {len(run.outcomes):,}: those that did not complete, the "
            "slowest, and others evenly."
            if thinned
            else ""
        ),
        choices,
        over_time=True,
        height=280,
    )


def _objective(alt: Any, run: RunData, name: str, axis: str = "y") -> list[Any]:
    """A line at the objective for it, if there is one."""
    bound = _objective_s(run, name)
    if bound is None:
        return []
    line = alt.Chart(alt.Data(values=[{"b": bound}])).mark_rule(
        color="$green", strokeDash=[2, 2], strokeWidth=2
    )
    tips = tooltip(alt, objective_s="b:Q|.4g")
    return [line.encode(y="b:Q", tooltip=tips) if axis == "y" else
            line.encode(x="b:Q", tooltip=tips)]  # fmt: skip


def _dot_rows(
    run: RunData, dots: npt.NDArray[np.int64], measured: Measured
) -> list[dict[str, Any]]:
    requests = run.requests
    by_request: list[Floats] = []
    for which, values in measured.values():
        all_of_them = np.full(len(run.outcomes), np.nan)
        all_of_them[which] = values
        by_request.append(all_of_them)
    bad = ~run.ended_as(Outcome.COMPLETED)
    names = list(measured)
    took = (requests["ended_ns"] - requests["arrival_ns"]) / NS_PER_S
    by_request[names.index("end to end")][bad] = took[bad]
    rows = []
    for place in dots:
        row = {
            "i": int(requests["request_id"][place]),
            "t": round(float(requests["arrival_ns"][place]) / NS_PER_S, 6),
            "o": OUTCOMES[run.outcomes[place]].value.replace("_", " "),
            "p": int(requests["prompt_tokens"][place]),
            "n": int(requests["tokens"][place]),
            "c": int(requests["context_rank"][place]),
            "g": int(requests["generation_rank"][place]),
        }
        cause = run.cause_texts[run.causes[place]]
        if cause:
            row["d"] = cause[:120]
        for number, values in enumerate(by_request):
            if values[place] > 0:
                row[f"m{number}"] = float(f"{values[place]:.5g}")
        rows.append(row)
    return rows


def _percentiles(
    run: RunData, which: npt.NDArray[np.bool_], values: Floats
) -> list[dict[str, Any]]:
    edges = edges_of(run.end_ns, BINS)
    arrival = run.requests["arrival_ns"][which]
    bins = np.clip(np.searchsorted(edges, arrival, side="right") - 1, 0, BINS - 1)
    rows = []
    for number in np.unique(bins):
        own = values[bins == number]
        if len(own) < LEAST_PER_BIN:
            continue
        middle = (edges[number] + edges[number + 1]) / 2 / NS_PER_S
        for percent in (50, 99):
            value = float(np.percentile(own, percent, method="inverted_cdf"))
            if value > 0:
                rows.append({"t": round(middle, 6), "s": f"p{percent}", "v": value})
    return rows


def _distribution(page: Page, run: RunData, measured: Measured) -> Plot:
    alt = altair()
    shares = np.unique(np.concatenate([np.linspace(0.001, 0.99, CURVE), TAIL]))
    rows = []
    for name, (_, values) in measured.items():
        sound = values[values > 0]
        if len(sound):
            at = np.quantile(sound, shares, method="inverted_cdf")
            rows += [
                {"s": name, "q": float(f"{share:.5g}"), "v": float(f"{value:.5g}")}
                for share, value in zip(shares, at, strict=True)
            ]
    page.data["distribution"] = rows
    names = list(dict.fromkeys(row["s"] for row in rows))
    curves = (
        alt.Chart(alt.NamedData("distribution"))
        .mark_line(interpolate="step-after")
        .encode(
            x=alt.X("v:Q", title="seconds", scale=alt.Scale(type="log"),
                    axis=alt.Axis(format="~g", tickCount=6)),
            y=alt.Y("q:Q", title="share of requests that took no longer",
                    axis=alt.Axis(format="%"), scale=alt.Scale(domain=[0, 1])),
            color=alt.Color("s:N", scale=alt.Scale(domain=names)),
            strokeDash=alt.StrokeDash("s:N", scale=alt.Scale(domain=names)),
            order="q:Q",
            tooltip=tooltip(alt, what="s:N", share="q:Q|.2%", within_s="v:Q|.4g"),
        )
    )  # fmt: skip
    marks = alt.Chart(alt.Data(values=[{"q": q, "n": n} for q, n in _NAMED])).encode(y="q:Q")
    rules = marks.mark_rule(color="$muted", strokeDash=[2, 3], strokeWidth=1)
    labels = marks.mark_text(
        align="left", dx=4, dy=-6, color="$muted", fontSize=11, baseline="middle"
    ).encode(text="n:N", x=alt.value(0))
    choices = [Choice("cumulative", alt.layer(rules, labels, curves))]
    choices += [
        Choice(f"histogram: {name}", _histogram(page, run, number, name, values))
        for number, (name, (_, values)) in enumerate(measured.items())
        if (values > 0).any()
    ]
    return Plot(
        "latency-distribution",
        "Distribution of latencies",
        "Of completed requests. The further right a curve bends, the longer its tail.",
        choices,
        height=260,
    )


_NAMED: Final = ((0.5, "p50"), (0.9, "p90"), (0.99, "p99"))


def _histogram(page: Page, run: RunData, number: int, name: str, values: Floats) -> Any:
    alt = altair()
    sound = values[values > 0]
    low, high = float(sound.min()), float(sound.max())
    high = high if high > low else low * 1.01
    edges = np.geomspace(low, high, 41)
    edges[0], edges[-1] = low, high
    counts = np.histogram(sound, edges)[0]
    data = f"histogram-{number}"
    page.data[data] = [
        {"a": float(f"{a:.5g}"), "b": float(f"{b:.5g}"), "n": int(n)}
        for a, b, n in zip(edges[:-1], edges[1:], counts, strict=True)
        if n
    ]
    bars = (
        alt.Chart(alt.NamedData(data))
        .mark_rect(color="$blue", stroke="$background", strokeWidth=0.5)
        .encode(
            x=alt.X("a:Q", title=f"{name} (s)", scale=alt.Scale(type="log", nice=False),
                    axis=alt.Axis(format="~g", tickCount=6)),
            x2="b:Q",
            y=alt.Y("n:Q", title="requests", scale=alt.Scale(zero=True)),
            y2=alt.datum(0),
            tooltip=tooltip(alt, from_s="a:Q|.4g", to_s="b:Q|.4g", requests="n:Q|,d"),
        )
    )  # fmt: skip
    return alt.layer(bars, *_objective(alt, run, name, "x"))


def _where_it_went(page: Page, run: RunData) -> Plot:
    alt = altair()
    done = run.ended_as(Outcome.COMPLETED)
    took = (run.requests["ended_ns"] - run.requests["arrival_ns"])[done]
    rows: list[dict[str, Any]] = []
    for group, share in GROUPS.items():
        least = np.quantile(took, share, method="higher") if share else took.min()
        own = took >= least
        if share and (own.all() or own.sum() < 2):
            continue
        for column in COLUMNS:
            spent = run.requests[f"{column}_ns"][done][own] / NS_PER_S
            rows.append(
                {
                    "s": group,
                    "c": COLUMN_TITLES[column],
                    "v": float(f"{spent.mean():.5g}"),
                    "p": float(f"{spent.sum() / max(took[own].sum() / NS_PER_S, 1e-12):.4g}"),
                    "n": int(own.sum()),
                }
            )
    page.data["columns"] = rows
    names = [COLUMN_TITLES[column] for column in COLUMNS]
    groups = list(dict.fromkeys(str(row["s"]) for row in rows))
    return Plot(
        "where-time-went",
        "Where the time of a request goes",
        "Means over completed requests, and over the slowest of them: what makes a slow request "
        "slow. The columns are those of docs/metrics.md; they add up to all of a request's time.",
        [
            Choice("seconds", _bars(alt, names, groups, "v", "mean time (s)", "~g")),
            Choice("share", _bars(alt, names, groups, "p", "share of the request's time", "%")),
        ],
        height=30 * len(names),
    )


def _bars(
    alt: Any, names: Sequence[str], groups: Sequence[str], field: str, title: str, form: str
) -> Any:
    return alt.layer(
        alt.Chart(alt.NamedData("columns"))
        .mark_bar()
        .encode(
            y=alt.Y("c:N", title=None, sort=list(names)),
            yOffset=alt.YOffset("s:N", sort=list(groups)),
            x=alt.X(f"{field}:Q", title=title, axis=alt.Axis(format=form, tickCount=6)),
            color=alt.Color(
                "s:N", sort=list(groups),
                scale=alt.Scale(domain=list(groups), range=["$blue", "$orange", "$red"]),
            ),
            tooltip=tooltip(
                alt, column="c:N", requests="s:N", how_many="n:Q", mean_s="v:Q|.4g", share="p:Q|.1%"
            ),
        )
    )  # fmt: skip
