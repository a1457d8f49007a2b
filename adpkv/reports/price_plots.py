"""Plots of what has a price: the Pareto front of two figures, and the course of a search."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any, Final

from adpkv.reports.plot import Choice, Page, Plot, altair, number_axis, tooltip
from adpkv.reports.sweep_data import Figure, PointRow, SweepData

__all__ = ["front_of", "pareto", "search"]


def _pairs(data: SweepData) -> list[tuple[int, int]]:
    """Figures that are drawn against each other: those of the goal, or usual ones."""
    places = {figure.column: at for at, figure in enumerate(data.figures)}
    if data.goal is not None and len(data.goal.objectives) > 1:
        return list(combinations([places[one.column] for one in data.goal.objectives], 2))
    gains = [name for name in _GAINS if name in places]
    costs = [name for name in _COSTS if name in places]
    found = [(places[cost], places[gain]) for gain in gains[:2] for cost in costs[:3]]
    if not found:
        found = list(combinations(range(len(data.figures)), 2))[:3]
    return found


_GAINS: Final = ("rates.goodput_per_s", "rates.output_tokens_per_s", "rates.slo_attainment")
_COSTS: Final = ("latency.ttft_s.p99", "latency.tpot_s.p99", "rates.error_rate")


def pareto(page: Page, data: SweepData) -> Plot | str:
    """Figures against each other, with the points that no other is better than in both."""
    alt = altair()
    choices = []
    for number, (x, y) in enumerate(_pairs(data)):
        across, up = data.figures[x], data.figures[y]
        front = front_of(data.points, across, up)
        name = f"front-{number}"
        if not front:
            continue
        page.data[name] = [
            {"x": point.figures[across.column][0], "y": point.figures[up.column][0]}
            for point in front
        ]
        choices.append(
            Choice(f"{up.short} and {across.short}", _front_chart(alt, x, y, across, up, name))
        )
    if not choices:
        return "<p>No two figures differ between the points: nothing has a price here.</p>"
    return Plot(
        "pareto",
        "Pareto front",
        "Each dot is a point. Those on the line are better than any other in one of the two "
        "figures, or in both. Hollow dots keep not all bounds, or not all of their runs completed.",
        choices,
        height=320,
    )


def front_of(points: Sequence[PointRow], across: Figure, up: Figure) -> list[PointRow]:
    """The points that no other is better than in both figures, in order of the first."""
    sound = [
        point
        for point in points
        if point.keeps and across.column in point.figures and up.column in point.figures
    ]

    def gains(point: PointRow) -> tuple[float, float]:
        x, y = point.figures[across.column][0], point.figures[up.column][0]
        return (
            x if across.larger_is_better else -x,
            y if up.larger_is_better else -y,
        )

    found: list[PointRow] = []
    best = float("-inf")
    for point in sorted(sound, key=gains, reverse=True):
        if gains(point)[1] > best:
            best = gains(point)[1]
            found.append(point)
    return sorted(found, key=lambda point: point.figures[across.column][0])


def _front_chart(alt: Any, x: int, y: int, across: Figure, up: Figure, name: str) -> Any:
    def position(channel: Any, field: str, figure: Figure) -> Any:
        better = "larger is better" if figure.larger_is_better else "smaller is better"
        return channel(
            f"{field}:Q",
            title=f"{figure.title}, {better}",
            axis=number_axis(alt, **figure.of_axis),
            # Not nice: there are no errors below 0 %.
            scale=alt.Scale(zero=False, padding=8, nice=False),
        )

    line = (
        alt.Chart(alt.NamedData(name))
        .mark_line(color="$red", strokeWidth=1.5, point={"color": "$red", "size": 90})
        .encode(x=position(alt.X, "x", across), y=position(alt.Y, "y", up), order="x:Q")
    )
    dots = (
        alt.Chart(alt.NamedData("points"))
        .transform_filter(f"isValid(datum.f{x}) && isValid(datum.f{y})")
        .mark_point(size=60, stroke="$blue", strokeWidth=1.5)
        .encode(
            x=position(alt.X, f"f{x}", across),
            y=position(alt.Y, f"f{y}", up),
            fill=alt.condition("datum.keeps", alt.value("$blue"), alt.value("transparent")),
            tooltip=tooltip(
                alt, **{"point": "n:Q", "settings": "set:N",
                        across.short: f"f{x}:Q|{across.form}", up.short: f"f{y}:Q|{up.form}"}
            ),
        )
    )  # fmt: skip
    return alt.layer(line, dots)


def search(page: Page, data: SweepData) -> list[Plot]:
    """How a search with one objective came to its winner."""
    if data.goal is None or len(data.goal.objectives) != 1:
        return []
    alt = altair()
    objective = data.goal.objectives[0]
    figure = next(one for one in data.figures if one.column == objective.column)
    rows: list[dict[str, Any]] = []
    best: float | None = None
    for point in data.points:
        found = point.figures.get(objective.column)
        if found is None:
            continue
        value = found[0]
        if point.keeps and (best is None or objective.better(value, best)):
            best = value
        rows.append({"n": point.number, "v": value, "b": best, "keeps": point.keeps})
    page.data["search"] = rows
    base = alt.Chart(alt.NamedData("search")).encode(
        x=alt.X(
            "n:Q", title="point, in the order of the search", axis=number_axis(alt, tickMinStep=1)
        )
    )
    y_axis = number_axis(alt, **figure.of_axis)
    line = base.mark_line(interpolate="step-after", color="$red").encode(
        y=alt.Y("b:Q", title=figure.title, axis=y_axis, scale=alt.Scale(zero=False))
    )
    dots = base.mark_point(size=50, stroke="$blue").encode(
        y="v:Q",
        fill=alt.condition("datum.keeps", alt.value("$blue"), alt.value("transparent")),
        tooltip=tooltip(alt, point="n:Q", value=f"v:Q|{figure.form}", best=f"b:Q|{figure.form}"),
    )
    return [
        Plot(
            "search",
            f"The search: {objective.text}",
            "The line is the best so far that keeps all bounds; hollow dots do not.",
            [Choice("", alt.layer(line, dots))],
            height=220,
        )
    ]
