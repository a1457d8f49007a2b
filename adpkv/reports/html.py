"""A report as one HTML file that needs nothing else: scripts, styles and data are in it.

The page says by a content security policy that nothing is to be fetched, so it cannot come to need
the network by mistake. Plots are drawn by Vega-Embed, whose scripts vl-convert has.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any, Final

from adpkv import __version__
from adpkv.reports.plot import SELECTIONS, Page, Plot, vega_lite_version
from adpkv.reports.style import THEMES, config

__all__ = ["page_html", "plot_spec"]

POLICY: Final = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; "
    "img-src data: blob:"
)
_LAYER: Final = re.compile(r"([a-z]+)(?:_\d+)*")
"""The name of a layer; Altair puts numbers behind it where layers are in layers."""

_NO_ANCHOR: Final = re.compile(r"[^a-z0-9]+")


def page_html(page: Page) -> str:
    """The whole file."""
    inside = "".join(_section(heading, parts) for heading, parts in page.sections)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="adpkv {__version__}">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>{escape(page.title)}: adpkv report</title>
<style>{_asset("page.css")}</style>
</head>
<body>
<header>
<h1>{escape(page.title)}</h1>
<p>{escape(page.subtitle)}</p>
</header>
{_notes(page)}
{_tiles(page)}
<nav aria-label="Sections">{_links(page)}</nav>
<main>{inside}</main>
<noscript><p class="note">The plots need JavaScript; it is all in this file.</p></noscript>
<footer>adpkv {__version__}</footer>
<script type="application/json" id="report">{_embedded(_values(page))}</script>
<script>{_scripts()}</script>
<script>{_asset("page.js")}</script>
</body>
</html>
"""


def plot_spec(page: Page, plot: Plot, choice: int) -> dict[str, Any]:
    """A plot by itself, as Vega-Lite, without its data and with colours by name."""
    spec: dict[str, Any] = plot.choices[choice].chart.to_dict(validate=False)
    selections = [
        {**SELECTIONS[found[1]], "views": [found[0]]}
        for found in map(_LAYER.fullmatch, sorted(_layers(spec)))
        if found is not None and found[1] in SELECTIONS
    ]
    times = [{"name": "from_s", "value": 0}, {"name": "to_s", "value": page.end_s}]
    spec.update(
        params=[*times, *selections] if page.end_s else selections,
        height=plot.height,
        width="container",
        autosize={"type": "fit-x", "contains": "padding"},
        config=config(),
    )
    return spec


def _layers(spec: Mapping[str, Any]) -> set[str]:
    """The names of its layers."""
    inside = spec.get("layer", [])
    return {str(spec.get("name", ""))}.union(*map(_layers, inside))


def _values(page: Page) -> dict[str, Any]:
    """What the page's script draws from."""
    return {
        "themes": THEMES,
        "end_s": page.end_s,
        "data": page.data,
        "plots": [
            {
                "name": plot.name,
                "over_time": plot.over_time,
                "chooses_time": plot.chooses_time,
                "choices": [choice.label for choice in plot.choices],
                "specs": [plot_spec(page, plot, number) for number in range(len(plot.choices))],
            }
            for plot in page.plots
        ],
    }


def _embedded(values: Any) -> str:
    """JSON inside of a script element: nothing in it may end that element."""
    text = json.dumps(values, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


@cache
def _scripts() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script."""
    import vl_convert

    bundle = vl_convert.javascript_bundle(
        "window.vegaEmbed = vegaEmbed;", vl_version=vega_lite_version()
    )
    return bundle.replace("</script", "<\\/script")


def _asset(name: str) -> str:
    return (files("adpkv.reports") / "page" / name).read_text(encoding="utf-8")


def _anchor(heading: str) -> str:
    return _NO_ANCHOR.sub("-", heading.lower()).strip("-")


def _links(page: Page) -> str:
    return "".join(
        f'<a href="#{_anchor(heading)}">{escape(heading)}</a>' for heading, _ in page.sections
    )


def _notes(page: Page) -> str:
    return "".join(f'<p class="note" role="note">{escape(note)}</p>' for note in page.notes)


def _tiles(page: Page) -> str:
    tiles = "".join(
        f"<div><dt>{escape(heading)}</dt><dd>{escape(figure)}</dd></div>"
        for heading, figure in page.tiles
    )
    return f'<dl class="tiles">{tiles}</dl>' if tiles else ""


def _section(heading: str, parts: list[Plot | str]) -> str:
    inside = "".join(part if isinstance(part, str) else _figure(part) for part in parts)
    return f'<section id="{_anchor(heading)}"><h2>{escape(heading)}</h2>{inside}</section>'


def _figure(plot: Plot) -> str:
    name = escape(plot.name)
    options = "".join(
        f'<option value="{number}">{escape(choice.label)}</option>'
        for number, choice in enumerate(plot.choices)
    )
    chooser = (
        f'<label class="chooser">show <select data-plot="{name}">{options}</select></label>'
        if len(plot.choices) > 1
        else ""
    )
    return (
        f'<figure id="plot-{name}"><figcaption><h3>{escape(plot.title)}</h3>{chooser}'
        f"<p>{escape(plot.text)}</p></figcaption>"
        f'<div class="plot" style="min-height:{plot.height + 60}px" role="img" '
        f'aria-label="{escape(plot.title)}"></div></figure>'
    )
