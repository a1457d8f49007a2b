"""Plots of a sweep: a figure over each axis, over pairs of axes, and figures against each other."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, Final

from adpkv.reports.plot import Choice, Page, Plot, altair, number_axis, tooltip
from adpkv.reports.price_plots import pareto, search
from adpkv.reports.sweep_data import Axis, Figure, PointRow, SweepData, number_of

__all__ = ["add_sweep_plots"]

MOST_DOTS: Final = 1000
"""Points that are drawn one by one."""

MOST_LINES: Final = 7
"""Lines of one plot: what colours and dashes tell apart."""

MOST_MAPS: Final = 6
LABELLED: Final = 80
"""A map of so few tiles has their values written in them."""

LOG_FROM: Final = 20.0
"""An axis whose ends differ by this factor is drawn on a logarithmic scale."""


def add_sweep_plots(page: Page, data: SweepData) -> None:
    """The sections of plots."""
    page.data["points"] = _point_rows(data)
    axes = [(place, axis) for place, axis in enumerate(data.axes) if len(axis.values) > 1]
    curves: list[Plot | str] = [_response(page, data, place) for place, _ in axes]
    if curves and data.figures:
        page.sections.append(("What each axis does", curves))
    pairs = list(combinations([place for place, _ in axes], 2))[:MOST_MAPS]
    maps: list[Plot | str] = [_heat_map(page, data, x, y) for x, y in pairs]
    if maps and data.figures:
        page.sections.append(("Two axes together", maps))
    if len(data.points) > 1:
        page.sections.append(("What has a price", [pareto(page, data), *search(page, data)]))


def _thinned(points: Sequence[PointRow]) -> Sequence[PointRow]:
    if len(points) <= MOST_DOTS:
        return points
    return [points[at * len(points) // MOST_DOTS] for at in range(MOST_DOTS)]


def _point_rows(data: SweepData) -> list[dict[str, Any]]:
    return [
        {
            "n": point.number,
            "set": ", ".join(
                f"{axis.short} {text}" for axis, text in zip(data.axes, point.texts, strict=True)
            ),
            "keeps": point.keeps,
            **{f"a{at}": text for at, text in enumerate(point.texts)},
            **{f"x{at}": number for at, number in enumerate(point.numbers)},
            **{
                f"f{at}": float(f"{point.figures[figure.column][0]:.5g}")
                for at, figure in enumerate(data.figures)
                if figure.column in point.figures
            },
        }
        for point in _thinned(data.points)
    ]


def _axis_title(axis: Axis) -> str:
    unit = {"s": " (s)", "bytes": " (bytes)"}.get(axis.unit, "")
    return f"{axis.path}{'' if axis.is_text else unit}"


def _position(alt: Any, channel: Any, field: str, axis: Axis, **padding: float) -> Any:
    """Where a value of an axis is: side by side, or on a scale."""
    title = _axis_title(axis) if channel is alt.X else axis.short
    if axis.is_text:
        found = channel(
            f"{field}:O",
            title=title,
            sort=list(axis.values),
            scale=alt.Scale(domain=list(axis.values), **padding),
        )
        return found.axis(labelAngle=0, labelOverlap=True) if channel is alt.X else found
    scale = _scale(alt, axis)
    linear = scale.to_dict().get("type") != "log"
    more = {"axis": number_axis(alt)} if linear else {}
    return channel(f"{field}:Q", title=title, scale=scale, **more)


def _scale(alt: Any, axis: Axis) -> Any:
    low, high = _ends(axis)
    if low > 0 and high / low >= LOG_FROM:
        return alt.Scale(type="log", nice=False)
    return alt.Scale(zero=False)


def _ends(axis: Axis) -> tuple[float, float]:
    numbers = [number_of(_plain(text))[0] or 0.0 for text in (axis.values[0], axis.values[-1])]
    return numbers[0], numbers[1]


def _plain(text: str) -> object:
    try:
        return float(text)
    except ValueError:
        return text


def _response(page: Page, data: SweepData, place: int) -> Plot:
    """A figure over one axis; lines are another axis, if there is one with few values."""
    axis = data.axes[place]
    others = [at for at, one in enumerate(data.axes) if at != place and len(one.values) > 1]
    by = next((at for at in others if len(data.axes[at].values) <= MOST_LINES), None)
    choices = []
    for number, figure in enumerate(data.figures):
        name = f"curve-{place}-{number}"
        rows = _curve(data, axis, place, by, figure)
        if rows:
            page.data[name] = rows
            chart = _curves(data, axis, place, by, number, figure, name)
            choices.append(Choice(figure.short, chart))
    what = "line" if axis.is_joined else "colour"
    lines = "" if by is None else f" A {what} for each {data.axes[by].path}."
    over = [data.axes[at].path for at in others if at != by]
    means = f" Means over {' and '.join(over)}." if over else ""
    seeds = ["seeds"] if max(point.runs for point in data.points) > 1 else []
    ends = " and ".join([*seeds, *(["points"] if over else [])])
    bars = f"Bars are the least and the most over {ends}." if ends else ""
    return Plot(
        f"axis-{axis.path.replace('.', '-').replace('_', '-')}",
        axis.path,
        f"{bars}{lines}{means}".strip(),
        choices,
        height=260,
    )


def _curve(
    data: SweepData, axis: Axis, place: int, by: int | None, figure: Figure
) -> list[dict[str, Any]]:
    """The means of a figure for each value of an axis, by the values of another."""
    groups: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
    numbers: dict[str, float | None] = {}
    if not axis.is_text and by is None:
        return [
            {"x": point.numbers[place], "s": "", "v": mean, "lo": low, "hi": high}
            for point in _thinned(data.points)
            if figure.column in point.figures
            for mean, low, high in (point.figures[figure.column],)
        ]
    for point in data.points:
        if figure.column in point.figures:
            text = point.texts[place]
            numbers[text] = point.numbers[place]
            series = "" if by is None else point.texts[by]
            groups.setdefault((text, series), []).append(point.figures[figure.column])
    return [
        {
            "x": text if axis.is_text else numbers[text],
            "s": series,
            "v": float(f"{statistics.fmean(mean for mean, _, _ in found):.5g}"),
            "lo": float(f"{min(low for _, low, _ in found):.5g}"),
            "hi": float(f"{max(high for _, _, high in found):.5g}"),
        }
        for (text, series), found in groups.items()
    ]


def _curves(
    data: SweepData, axis: Axis, place: int, by: int | None, number: int, figure: Figure, name: str
) -> Any:
    alt = altair()
    apart = {"paddingInner": 0.7, "paddingOuter": 0.35} if axis.is_text and by is not None else {}
    x = _position(alt, alt.X, "x", axis, **apart)
    y = alt.Y(
        "v:Q",
        title=figure.title,
        axis=number_axis(alt, **figure.of_axis),
        scale=alt.Scale(zero=False),
    )
    base = alt.Chart(alt.NamedData(name))
    styles: dict[str, Any] = {}
    if by is not None:
        domain = list(data.axes[by].values)
        legend = alt.Legend(symbolType="stroke")
        colour = alt.Color("s:N", scale=alt.Scale(domain=domain), legend=legend)
        styles = {"color": colour}
        if axis.is_text:  # side by side, so that the bars of two lines are told apart
            styles["xOffset"] = alt.XOffset("s:N", scale=alt.Scale(domain=domain))
    lines = base.mark_line(opacity=0.9, **({} if by is not None else {"color": "$blue"})).encode(
        x=x, y=y, **styles,
        **({"strokeDash": alt.StrokeDash("s:N", scale=alt.Scale(domain=domain), legend=legend)}
           if by is not None else {}),
    )  # fmt: skip
    tips = tooltip(
        alt, **{axis.short.replace(" ", "_"): "x:N", "line": "s:N", "mean": f"v:Q|{figure.form}",
                "least": f"lo:Q|{figure.form}", "most": f"hi:Q|{figure.form}"}
    )  # fmt: skip
    dots = base.mark_point(
        filled=True, size=50, **({} if by is not None else {"color": "$blue"})
    ).encode(x=x, y=y, tooltip=tips, **styles)
    bars = base.mark_rule(
        opacity=0.5, strokeWidth=1.5, **({} if by is not None else {"color": "$blue"})
    ).encode(x=x, y=alt.Y("lo:Q", title=figure.title), y2="hi:Q", **styles)
    return alt.layer(*([bars, lines, dots] if axis.is_joined else [bars, dots]))


def _heat_map(page: Page, data: SweepData, x: int, y: int) -> Plot:
    across, down = data.axes[x], data.axes[y]
    tiled = across.is_text and down.is_text
    choices = []
    for number, figure in enumerate(data.figures):
        if tiled:
            name = f"map-{x}-{y}-{number}"
            rows = _tiles(data, x, y, figure)
            if rows:
                page.data[name] = rows
                choices.append(Choice(figure.short, _tiled(across, down, figure, name, rows)))
        else:
            choices.append(Choice(figure.short, _dotted(data, x, y, number, figure)))
    others = [one.path for at, one in enumerate(data.axes) if at not in (x, y)]
    means = f" Means over {' and '.join(others)}." if tiled and others else ""
    return Plot(
        f"map-{x}-{y}",
        f"{down.path} by {across.path}",
        f"{'A tile' if tiled else 'A dot'} for each point; its colour is the figure.{means}",
        choices,
        height=max(120, 34 * len(down.values)) if tiled else 320,
    )


def _tiles(data: SweepData, x: int, y: int, figure: Figure) -> list[dict[str, Any]]:
    groups: dict[tuple[str, str], list[float]] = {}
    for point in data.points:
        if figure.column in point.figures:
            key = (point.texts[x], point.texts[y])
            groups.setdefault(key, []).append(point.figures[figure.column][0])
    return [
        {"x": across, "y": down, "v": float(f"{statistics.fmean(found):.5g}")}
        for (across, down), found in groups.items()
    ]


def _tiled(
    across: Axis, down: Axis, figure: Figure, name: str, rows: Sequence[Mapping[str, Any]]
) -> Any:
    alt = altair()
    base = alt.Chart(alt.NamedData(name)).encode(
        x=_position(alt, alt.X, "x", across), y=_position(alt, alt.Y, "y", down)
    )
    tips = tooltip(
        alt, **{across.short.replace(" ", "_"): "x:N", down.short.replace(" ", "_"): "y:N",
                "mean": f"v:Q|{figure.form}"}
    )  # fmt: skip
    tiles = base.mark_rect().encode(color=_ramp(alt, "v", figure), tooltip=tips)
    if len(rows) > LABELLED:
        return alt.layer(tiles)
    values = [float(row["v"]) for row in rows]
    middle = (min(values) + max(values)) / 2
    light = f"datum.v > {middle!r}" if figure.larger_is_better else f"datum.v < {middle!r}"
    labels = base.mark_text(fontSize=12).encode(
        text=alt.Text("v:Q", format=figure.form),
        color=alt.condition(light, alt.value("#000000"), alt.value("#ffffff")),
    )
    return alt.layer(tiles, labels)


def _ramp(alt: Any, field: str, figure: Figure) -> Any:
    """Better is lighter, in every figure."""
    return alt.Color(
        f"{field}:Q",
        scale=alt.Scale(scheme="viridis", reverse=not figure.larger_is_better, zero=False),
        legend=alt.Legend(
            title=figure.title, gradientLength=200, gradientThickness=10, **figure.of_axis
        ),
    )


def _dotted(data: SweepData, x: int, y: int, number: int, figure: Figure) -> Any:
    alt = altair()
    across, down = data.axes[x], data.axes[y]
    return alt.layer(
        alt.Chart(alt.NamedData("points"))
        .transform_filter(f"isValid(datum.f{number})")
        .mark_point(filled=True, size=110, stroke="$muted", strokeWidth=0.5, opacity=1)
        .encode(
            x=_position(alt, alt.X, f"{'a' if across.is_text else 'x'}{x}", across),
            y=_position(alt, alt.Y, f"{'a' if down.is_text else 'x'}{y}", down),
            color=_ramp(alt, f"f{number}", figure),
            tooltip=tooltip(alt, point="n:Q", settings="set:N", value=f"f{number}:Q|{figure.form}"),
        )
    )
