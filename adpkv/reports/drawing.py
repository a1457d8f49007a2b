"""What plots over time have in common: rows of data, stacked areas, lines, marks of faults."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from adpkv.reports.plot import HOVERED, Page, altair, time_axis, tooltip
from adpkv.reports.series import Floats, rounded

__all__ = ["NS_PER_S", "from_zero", "lines_of", "mark_tip", "rows_of", "stacked", "with_marks"]

NS_PER_S: Final = 1e9

FEW: Final = 6
"""Below this many, an axis has a tick for each whole number."""


def with_marks(page: Page, chart: Any) -> Any:
    """The chart with a mark at its upper edge for each fault, and a line for what is grave."""
    alt = altair()
    rows = page.data.get("marks", [])
    layers = [chart]
    if any(row["grave"] for row in rows):
        layers.append(
            alt.Chart(alt.NamedData("marks"))
            .transform_filter("datum.grave")
            .mark_rule(color="$red", strokeDash=[5, 3], strokeWidth=1.5, clip=True)
            .encode(x=time_axis(alt), tooltip=mark_tip(alt))
        )
    if any(not row["grave"] for row in rows):
        layers.append(
            alt.Chart(alt.NamedData("marks"))
            .transform_filter("!datum.grave")
            .mark_point(
                shape="triangle-down", filled=True, size=36, color="$red", opacity=0.8, clip=True
            )
            .encode(x=time_axis(alt), y=alt.value(4), tooltip=mark_tip(alt))
        )
    return alt.layer(*layers)


def mark_tip(alt: Any) -> list[Any]:
    """What the pointer tells of a mark."""
    return tooltip(alt, at_s="t:Q|.3f", what="kind:N", times="times:Q", detail="text:N")


def rows_of(edges: Floats, values: Floats, series: str) -> list[dict[str, Any]]:
    """A row for each bin: where it begins in seconds, the series, its value. And one where the last
    bin ends: a line of steps has its last step up to there, and would end where that begins."""
    *starts, end = rounded(edges / NS_PER_S, 7)
    found = [
        {"t": at, "s": series, "v": value}
        for at, value in zip(starts, rounded(values), strict=True)
    ]
    return [*found, {**found[-1], "t": end}]


def from_zero(rows: Sequence[Mapping[str, Any]], value: str = "v", **more: Any) -> Any:
    """The scale of what is never negative: with nothing but zeros, zero is still its lower end,
    where Vega would have it in the middle."""
    bounds = {} if any(row[value] for row in rows) else {"domain": [0, 1]}
    return altair().Scale(**bounds, **more)


def whole_axis(highest: float) -> Any:
    """An axis of whole numbers. Vega puts ticks between them where there are few, in spite of
    `tickMinStep`, and with the format "d" 0, 0.5 and 1 are "0", "1" and "1"."""
    few = {"values": list(range(max(1, int(highest)) + 1))} if highest < FEW else {}
    return altair().Axis(format=",d", tickMinStep=1, **few)


def stacked(
    page: Page,
    data: str,
    names: Sequence[str],
    colours: Sequence[str],
    title: str,
    form: str,
    name: str | None = None,
    whole: bool = False,
) -> Any:
    """Areas on each other, in this order from above, with all values of a bin in one tooltip."""
    alt = altair()
    y = {"axis": whole_axis(_highest_sum(page.data[data]))} if whole else {}
    base = alt.Chart(alt.NamedData(data))
    place = "indexof(" + repr(list(names)).replace('"', "'") + ", datum.s)"
    area = (
        base.transform_calculate(place=place)
        .mark_area(interpolate="step-after", clip=True)
        .encode(
            x=time_axis(alt),
            y=alt.Y("v:Q", title=title, stack="zero", scale=from_zero(page.data[data]), **y),
            color=alt.Color(
                "s:N", scale=alt.Scale(domain=list(names), range=list(colours)), sort=list(names)
            ),
            order=alt.Order("place:Q", sort="descending"),
        )
    )
    if name is not None:
        area = area.properties(name=name)
    return alt.layer(area, _hover(alt, base, names, form))


def _highest_sum(rows: Sequence[Mapping[str, Any]]) -> float:
    sums = Counter[float]()
    for row in rows:
        sums[row["t"]] += row["v"] or 0
    return max(sums.values(), default=0)


def _hover(alt: Any, base: Any, names: Sequence[str], form: str) -> Any:
    """A line at the bin under the pointer that tells all values."""
    near = {"param": "near", "empty": False, "value": 0.6}
    tips = [alt.Tooltip("t:Q", title="at (s)", format=".3f")]
    tips += [alt.Tooltip(f"{_escaped(name)}:Q", title=name, format=form) for name in names]
    return (
        base.transform_pivot("s", value="v", groupby=["t"])
        .mark_rule(strokeWidth=1, clip=True)
        .encode(
            x=time_axis(alt),
            opacity={"condition": near, "value": 0},
            tooltip=tips,
        )
        .properties(name=HOVERED)
    )


def _escaped(name: str) -> str:
    return name.replace(".", "\\.").replace("[", "\\[").replace(":", "\\:")


def lines_of(
    page: Page,
    data: str,
    rows: Sequence[Mapping[str, Any]],
    title: str,
    form: str = ".3s",
    whole: bool = False,
) -> Any:
    """A line for each series, told apart by colour and dashes."""
    alt = altair()
    y = {"axis": whole_axis(max((row["v"] or 0 for row in rows), default=0))} if whole else {}
    page.data[data] = rows
    names = list(dict.fromkeys(str(row["s"]) for row in rows))
    base = alt.Chart(alt.NamedData(data))
    line = base.mark_line(interpolate="step-after", clip=True).encode(
        x=time_axis(alt),
        y=alt.Y("v:Q", title=title, scale=from_zero(rows), **y),
        color=alt.Color("s:N", scale=alt.Scale(domain=names)),
        strokeDash=alt.StrokeDash("s:N", scale=alt.Scale(domain=names)),
    )
    return with_marks(page, alt.layer(line, _hover(alt, base, names, form)))
