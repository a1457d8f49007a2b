"""A plot of a report: what it is called, and what there is to choose from in it.

Data stand beside the plots, by name, so that several use the same. Everything is Vega-Lite, made
through Altair (extra `report`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from adpkv.errors import MissingPieceError

if TYPE_CHECKING:
    import altair as alt

__all__ = [
    "BRUSHED",
    "GET_REPORT",
    "HOVERED",
    "SELECTIONS",
    "Choice",
    "Page",
    "Plot",
    "Rows",
    "altair",
    "number_axis",
    "time_axis",
    "tooltip",
    "vega_lite_version",
]

GET_REPORT: Final = "a report needs Altair and vl-convert: pip install 'adpkv[report]'"

HOVERED: Final = "hovered"
BRUSHED: Final = "brushed"
SELECTIONS: Final[Mapping[str, Mapping[str, Any]]] = {
    HOVERED: {
        "name": "near",
        "select": {
            "type": "point",
            "encodings": ["x"],
            "nearest": True,
            "on": "pointerover",
            "clear": "pointerout",
        },
    },
    BRUSHED: {"name": "chosen", "select": {"type": "interval", "encodings": ["x"]}},
}
"""What the pointer selects, by the name of the layer in which it does. They are added to the whole
plot: Altair gives the selections of layers within layers to all of these, which Vega refuses."""

Rows = Sequence[Mapping[str, Any]]


def altair() -> Any:
    """The package.

    Raises:
        MissingPieceError: it, or what draws without a browser, is not installed.
    """
    try:
        import altair
        import vl_convert  # noqa: F401  what plots are drawn with, and the page's scripts
    except ImportError:
        raise MissingPieceError(GET_REPORT) from None
    return altair


def vega_lite_version() -> str:
    """The version of Vega-Lite that Altair writes, or what vl-convert has that is nearest to it."""
    import vl_convert

    wanted: str = altair().SCHEMA_VERSION.lstrip("v").rpartition(".")[0]
    known = vl_convert.get_vegalite_versions()
    major = wanted.partition(".")[0]
    near = [one for one in known if one.partition(".")[0] == major]
    return wanted if wanted in known or not near else near[-1]


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the things that a plot can show."""

    label: str
    chart: alt.LayerChart | alt.Chart


@dataclass(frozen=True, slots=True)
class Plot:
    """`name` is that of its file; `text` says in a sentence or two what there is to see."""

    name: str
    title: str
    text: str
    choices: Sequence[Choice]
    over_time: bool = False
    """Follows the part of the time that is chosen on the page."""
    chooses_time: bool = False
    """The plot in which that part is chosen."""
    height: int = 220


@dataclass(slots=True)
class Page:
    """A report before it is written: sections of plots, texts and tables."""

    title: str
    subtitle: str
    tiles: list[tuple[str, str]] = field(default_factory=list)
    """A heading and a figure each."""
    notes: list[str] = field(default_factory=list)
    sections: list[tuple[str, list[Plot | str]]] = field(default_factory=list)
    """A text is HTML."""
    data: dict[str, Rows] = field(default_factory=dict)
    end_s: float = 0.0
    """The time axis of all plots over time ends here; 0 where there is none."""

    @property
    def plots(self) -> list[Plot]:
        """All of them, in order."""
        return [part for _, parts in self.sections for part in parts if isinstance(part, Plot)]


def time_axis(alt: Any, field: str = "t", title: str = "time since the run began (s)") -> Any:
    """The axis of a plot over time. On the page `from_s` and `to_s` follow what is chosen."""
    return alt.X(
        f"{field}:Q",
        title=title,
        scale=alt.Scale(
            domainMin=alt.ExprRef("from_s"), domainMax=alt.ExprRef("to_s"), nice=False, zero=False
        ),
        axis=alt.Axis(grid=False, tickCount=8),
    )


def number_axis(alt: Any, **more: Any) -> Any:
    """An axis of numbers on a linear scale: as many labels as fit, all equally far apart. Of more,
    the short ones alone would stay (0.09, 0.1, 0.11, 0.13)."""
    return alt.Axis(tickCount=8, labelOverlap="parity", **more)


def tooltip(alt: Any, **fields: str) -> list[Any]:
    """Fields by their headings; `name=field:type|format`."""
    found = []
    for heading, field_text in fields.items():
        name, _, form = field_text.partition("|")
        title = heading.replace("_", " ")
        found.append(alt.Tooltip(name, title=title, format=form) if form else
                     alt.Tooltip(name, title=title))  # fmt: skip
    return found
