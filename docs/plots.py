"""The plot of docs/experiments.md, made from the table of its sweep so that it stays true.

`python docs/plots.py FOLDER` draws `docs/timeouts.svg` from the folder that the page's own command
has written; a test does the same and compares. Plain SVG: two panels, a line for each budget.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import adpkv

__all__ = ["DRAWING", "drawn"]

DRAWING: Final = Path(__file__).with_name("timeouts.svg")

X_AXIS: Final = "transceiver.transfer_timeout"
LINES: Final = "transceiver.max_inflight_transfers_per_peer"
PANELS: Final = (
    ("slo_attainment", "requests within the SLO", 0.75, 1.0, "{:.0%}"),
    ("error_rate", "requests that failed or timed out", 0.0, 0.02, "{:.1%}"),
)
COLOURS: Final = ("#b2182b", "#ef8a62", "#2166ac")
WIDTH, HEIGHT, LEFT, TOP, GAP = 330, 190, 56, 40, 70
TICKS: Final = 5


def drawn(sweep: adpkv.Sweep) -> str:
    """The drawing, as text."""
    whole_x = LEFT + len(PANELS) * (WIDTH + GAP)
    whole_y = TOP + HEIGHT + 78
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {whole_x} {whole_y}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{whole_x}" height="{whole_y}" fill="white"/>',
    ]
    for number, panel in enumerate(PANELS):
        parts += _panel(sweep, LEFT + number * (WIDTH + GAP), *panel)
    return "\n".join([*parts, "</svg>", ""])


def _panel(
    sweep: adpkv.Sweep, left: int, figure: str, title: str, low: float, high: float, form: str
) -> Iterator[str]:
    budgets = list(dict.fromkeys(point.settings[LINES] for point in sweep.points))
    timeouts = list(dict.fromkeys(point.settings[X_AXIS] for point in sweep.points))

    def x(place: int) -> float:
        return left + (place + 0.5) * WIDTH / len(timeouts)

    def y(value: float) -> float:
        return TOP + HEIGHT * (1 - (value - low) / (high - low))

    yield f'<text x="{left}" y="{TOP - 14}" font-weight="bold">{title}</text>'
    yield from _axes(left, timeouts, low, high, form, x, y)
    for budget, colour in zip(budgets, COLOURS, strict=True):
        own = [point for point in sweep.points if point.settings[LINES] == budget]
        means = [point.mean(figure) for point in own]
        places = [
            (x(timeouts.index(point.settings[X_AXIS])), y(mean))
            for point, mean in zip(own, means, strict=True)
            if mean is not None
        ]
        line = " ".join(f"{at:.1f},{height:.1f}" for at, height in places)
        yield f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>'
        for at, height in places:
            yield f'<circle cx="{at:.1f}" cy="{height:.1f}" r="3" fill="{colour}"/>'
    for place, (budget, colour) in enumerate(zip(budgets, COLOURS, strict=True)):
        below = TOP + HEIGHT + 62
        at = left + place * 110
        yield f'<rect x="{at}" y="{below - 9}" width="10" height="10" fill="{colour}"/>'
        yield f'<text x="{at + 15}" y="{below}">{budget} with a peer</text>'


def _axes(
    left: int,
    timeouts: Sequence[str],
    low: float,
    high: float,
    form: str,
    x: Callable[[int], float],
    y: Callable[[float], float],
) -> Iterator[str]:
    for tick in range(TICKS + 1):
        value = low + tick * (high - low) / TICKS
        height = y(value)
        yield (
            f'<line x1="{left}" x2="{left + WIDTH}" y1="{height:.1f}" y2="{height:.1f}" '
            'stroke="#ddd"/>'
        )
        yield (
            f'<text x="{left - 6}" y="{height + 4:.1f}" text-anchor="end">'
            f"{form.format(value)}</text>"
        )
    for place, timeout in enumerate(timeouts):
        yield (
            f'<text x="{x(place):.1f}" y="{TOP + HEIGHT + 18}" text-anchor="middle">'
            f"{timeout}</text>"
        )
    middle = left + WIDTH / 2
    yield f'<text x="{middle:.1f}" y="{TOP + HEIGHT + 38}" text-anchor="middle">{X_AXIS}</text>'


if __name__ == "__main__":
    DRAWING.write_text(drawn(adpkv.load_sweep(sys.argv[1])), encoding="utf-8")
