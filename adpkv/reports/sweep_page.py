"""A sweep as a page: figures, plots, all points as a table, what failed, the configuration."""

from __future__ import annotations

from collections import Counter
from html import escape
from typing import Final

from adpkv.config.document import write
from adpkv.counting import counted
from adpkv.reports.plot import Page
from adpkv.reports.sweep_data import SweepData
from adpkv.reports.sweep_plots import add_sweep_plots
from adpkv.sweeps.result import described
from adpkv.sweeps.showing import figure_text
from adpkv.sweeps.winner import best_points, reasons

__all__ = ["sweep_page"]

MOST_ROWS: Final = 500
MOST_FAILED: Final = 20


def sweep_page(data: SweepData) -> Page:
    """The page of one sweep."""
    sweep = data.sweep
    varied = ", ".join(axis.path for axis in data.axes)
    page = Page(f"{sweep.name}, swept", f"{counted(len(data.points), 'point')} over {varied}")
    page.tiles = [
        ("points", f"{len(data.points):,}"),
        ("runs that ended", f"{len(sweep.runs):,} of {sweep.total:,}"),
        ("did not complete", f"{len(sweep.failed):,}"),
        ("seeds for each point", str(max(point.runs for point in data.points))),
    ]
    if data.plan is not None:
        page.tiles.append(("world", data.plan.world))
    if len(sweep.runs) < sweep.total:
        page.notes.append(
            f"The sweep is not complete: {len(sweep.runs):,} of {sweep.total:,} runs have ended."
        )
    if not data.figures:
        page.notes.append("No figure differs between the points: there is nothing to draw.")
    told = _best(data)
    if told:
        page.sections.append(("The decision", [told]))
    add_sweep_plots(page, data)
    page.sections.append(("All points", [_table(data)]))
    if sweep.failed:
        page.sections.append(("Runs that did not complete", [_failed(data)]))
    if data.plan is not None:
        text = escape(write(data.plan.data))
        page.sections.append(("Configuration", [f"<pre tabindex='0'>{text}</pre>"]))
    return page


def _best(data: SweepData) -> str:
    """The winner of a search, or its front, with the reasons."""
    if data.goal is None:
        return ""
    best = best_points(data.goal, data.sweep.points)
    if not best.front:
        return "<p>No point keeps all bounds.</p>"
    told = [
        f"<p><strong>Point {point.number}</strong></p><ul>"
        + "".join(f"<li>{escape(line)}</li>" for line in reasons(best, point))
        + "</ul>"
        for point in best.front[:MOST_FAILED]
    ]
    more = len(best.front) - len(told)
    return "".join(told) + (
        f"<p>and {counted(more, 'more point')} of the front</p>" if more > 0 else ""
    )


def _table(data: SweepData) -> str:
    heads = ["point", *(axis.path for axis in data.axes), *(one.short for one in data.figures)]
    heads.append("did not complete")
    head = "".join(
        f"<th aria-sort='none'{' class=number' if at not in range(1, 1 + len(data.axes)) else ''}>"
        f"<button type='button'>{escape(name)}</button></th>"
        for at, name in enumerate(heads)
    )
    rows = []
    for point in data.points[:MOST_ROWS]:
        cells = [f"<td class='number'>{point.number}</td>"]
        for text, number in zip(point.texts, point.numbers, strict=True):
            value = text if number is None else f"{number:.12g}"
            cells.append(f"<td data-v='{escape(value)}'>{escape(text)}</td>")
        for figure in data.figures:
            found = point.figures.get(figure.column)
            cells.append(
                "<td class='number' data-v=''>-</td>"
                if found is None
                else f"<td class='number' data-v='{found[0]:.9g}'>"
                f"{escape(figure_text(figure.column, found[0]))}</td>"
            )
        cells.append(f"<td class='number'>{point.failed or ''}</td>")
        rows.append(f"<tr>{''.join(cells)}</tr>")
    more = len(data.points) - len(rows)
    tail = f"<p>and {counted(more, 'more point')}: table.csv has all</p>" if more > 0 else ""
    return (
        f"<p>Means over seeds. A heading sorts.</p><table><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table>{tail}"
    )


def _failed(data: SweepData) -> str:
    failed = data.sweep.failed
    counts = Counter(run.outcome for run in failed)
    told = ", ".join(f"{escape(outcome)}: {count:,}" for outcome, count in counts.most_common())
    lines = "".join(f"<li>{escape(described(run))}</li>" for run in failed[:MOST_FAILED])
    more = len(failed) - MOST_FAILED
    return f"<p>{told}</p><ul>{lines}</ul>{f'<p>and {more:,} more</p>' if more > 0 else ''}"
