"""The look of plots: colours that colour-blind people tell apart, in light and in dark.

Plots name colours (`$blue`); the page puts those of the reader's theme in their place, and a file
those of its own. The palette is that of Okabe and Ito (2008), each colour made darker or lighter
until it stands out from its background.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["CATEGORIES", "OUTCOME_COLOURS", "THEMES", "coloured", "config"]

THEMES: Final[Mapping[str, Mapping[str, str]]] = {
    "light": {
        "background": "#ffffff",
        "text": "#1c2128",
        "muted": "#59636e",
        "grid": "#e3e7eb",
        "axis": "#9aa4ae",
        "blue": "#0072b2",
        "orange": "#b86e00",
        "green": "#00805d",
        "red": "#c8102e",
        "purple": "#9a4d86",
        "sky": "#3a9fd8",
        "grey": "#7a828a",
        "pale": "#d5dade",
    },
    "dark": {
        "background": "#14181d",
        "text": "#e6eaee",
        "muted": "#a3adb8",
        "grid": "#2b323a",
        "axis": "#5b6570",
        "blue": "#4aa8e8",
        "orange": "#f0a830",
        "green": "#2cc295",
        "red": "#ff6b6b",
        "purple": "#dd93c6",
        "sky": "#9bd6f7",
        "grey": "#9099a2",
        "pale": "#3c454f",
    },
}
"""By theme and name."""

CATEGORIES: Final = ("$blue", "$orange", "$green", "$purple", "$sky", "$grey", "$red")
"""In the order in which series take them."""

OUTCOME_COLOURS: Final = {
    "completed": "$blue",
    "cancelled": "$grey",
    "timed out": "$orange",
    "failed": "$red",
}

FONT: Final = "system-ui, 'DejaVu Sans', sans-serif"
_NAMED: Final = re.compile(r'"\$([a-z]+)"')


def coloured(spec: Mapping[str, Any], theme: str) -> dict[str, Any]:
    """A plot with a theme's colours in place of their names."""
    colours = THEMES[theme]
    text = _NAMED.sub(
        lambda found: json.dumps(colours.get(found[1], f"${found[1]}")), json.dumps(spec)
    )
    made: dict[str, Any] = json.loads(text)
    return made


def config() -> dict[str, Any]:
    """What all plots share, as Vega-Lite has it; colours by name."""
    text = {"labelColor": "$muted", "titleColor": "$text", "labelFontSize": 12, "titleFontSize": 12}
    return {
        "font": FONT,
        "background": "$background",
        "view": {"stroke": None},
        "axis": {
            **text,
            "gridColor": "$grid",
            "domainColor": "$axis",
            "tickColor": "$axis",
            "titleFontWeight": "normal",
            "labelOverlap": "greedy",
            "labelSeparation": 6,
            "labelLimit": 180,
        },
        "legend": {
            **text,
            "orient": "top",
            "direction": "horizontal",
            "title": None,
            "symbolStrokeWidth": 2,
            "labelLimit": 260,
            "columns": 4,
        },
        "title": {"color": "$text", "fontSize": 13, "anchor": "start"},
        "range": {"category": list(CATEGORIES)},
        "line": {"strokeWidth": 1.8},
        "rule": {"color": "$muted"},
    }
