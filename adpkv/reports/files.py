"""A report as files: one HTML page, or each plot as SVG or PNG, drawn without a browser."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Literal

from adpkv.errors import UsageError
from adpkv.reports.html import page_html, plot_spec
from adpkv.reports.plot import Page, Plot, altair, vega_lite_version
from adpkv.reports.style import coloured
from adpkv.whole_files import write_whole

__all__ = ["Format", "Theme", "chosen_plots", "write_page", "write_plots"]

Format = Literal["html", "svg", "png"]
Theme = Literal["light", "dark"]

WIDTH: Final = 760
SCALE: Final = 2.0
"""Pixels of a PNG for each unit of an SVG."""

_NO_NAME: Final = re.compile(r"[^a-z0-9]+")


def write_page(page: Page, path: Path) -> Path:
    """Write the page, whole or not at all.

    Raises:
        UsageError: it cannot be written there.
    """
    text = page_html(page)
    _replace(path, text.encode("utf-8"))
    return path


def chosen_plots(page: Page, names: Sequence[str]) -> list[Plot]:
    """The plots of these names, all where there is none.

    Raises:
        UsageError: there is no plot of a name.
    """
    known = {plot.name: plot for plot in page.plots}
    if not names:
        return list(known.values())
    for name in names:
        if name not in known:
            there = ", ".join(known) or "none"
            raise UsageError(f"--plot {name}: there is no such plot here; there are: {there}")
    return [known[name] for name in dict.fromkeys(names)]


def write_plots(
    page: Page, plots: Sequence[Plot], folder: Path, form: Literal["svg", "png"], theme: Theme
) -> list[Path]:
    """Draw these plots, a file for each thing that one can show; returns the files.

    Raises:
        UsageError: the folder cannot be made, or a file not be written.
    """
    altair()
    drawn = [
        (
            folder / f"{name}.{form}",
            _drawn({**coloured(spec, theme), "datasets": _datasets(page, spec)}, form),
        )
        for plot in plots
        for name, spec in _specs(page, plot)
    ]
    for path, content in drawn:
        _replace(path, content)
    return [path for path, _ in drawn]


def _specs(page: Page, plot: Plot) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, choice in enumerate(plot.choices):
        spec = plot_spec(page, plot, number)
        title = plot.title if len(plot.choices) == 1 else f"{plot.title}: {choice.label}"
        spec.update(title=title, width=WIDTH)
        label = _NO_NAME.sub("-", choice.label.lower()).strip("-")
        yield (plot.name if len(plot.choices) == 1 else f"{plot.name}-{label}"), spec


def _datasets(page: Page, spec: Any) -> dict[str, Any]:
    """The data that a plot names."""
    if isinstance(spec, list):
        found: dict[str, Any] = {}
        for one in spec:
            found |= _datasets(page, one)
        return found
    if not isinstance(spec, dict):
        return {}
    data = spec.get("data")
    own = {}
    if isinstance(data, dict) and data.get("name") in page.data:
        own[data["name"]] = list(page.data[data["name"]])
    return own | _datasets(page, list(spec.values()))


def _drawn(spec: dict[str, Any], form: str) -> bytes:
    import vl_convert

    version = vega_lite_version()
    if form == "svg":
        text: str = vl_convert.vegalite_to_svg(spec, vl_version=version)
        return text.encode("utf-8")
    image: bytes = vl_convert.vegalite_to_png(spec, vl_version=version, scale=SCALE)
    return image


def _replace(path: Path, content: bytes) -> None:
    try:
        if path.is_dir():
            raise UsageError(f"{path}: this is a folder; name a file with --out")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror or error}") from error
