"""A run as a page: figures, plots, causes, tables, configuration."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from html import escape
from typing import Any, Final

import numpy as np

from adpkv.config import dump
from adpkv.core.values import Outcome
from adpkv.output.closing import closing_sentence
from adpkv.reports.latency_plots import add_latency_plots
from adpkv.reports.over_time import add_time_plots
from adpkv.reports.plot import Page
from adpkv.reports.rank_plots import add_rank_plots
from adpkv.reports.run_data import OUTCOMES, RunData
from adpkv.results.show import html as closing_html

__all__ = ["run_page"]

MOST_CAUSES: Final = 20
MOST_EXAMPLES: Final = 3
NOTHING: Final = "-"


def run_page(run: RunData) -> Page:
    """The page of one run."""
    page = Page(run.name, closing_sentence(run.summary), notes=run.notes)
    page.tiles = _tiles(run.summary)
    page.sections.append(("Outcomes and their causes", [_causes(run), _violations(run)]))
    if len(run.outcomes) or len(run.open_ns):
        add_time_plots(page, run)
    else:
        page.notes.append("No request has come, so there is nothing to draw over time.")
    if len(run.outcomes):
        add_latency_plots(page, run)
    add_rank_plots(page, run)
    page.sections.append(("All figures", [closing_html(run.summary)]))
    page.sections.append(("Configuration", [configuration(run)]))
    return page


def configuration(run: RunData) -> str:
    """The experiment as resolved, as YAML that can be run again."""
    where = "" if run.folder is None else f" {escape(str(run.folder / 'config.yaml'))}"
    return (
        f"<p>As resolved, with every default; it can be run again:{where}</p>"
        f"<pre tabindex='0'>{escape(dump(run.experiment))}</pre>"
    )


def _tiles(summary: Any) -> list[tuple[str, str]]:
    latency, rates, requests = summary["latency"], summary["rates"], summary["requests"]
    waited = [one["step_wait_share"] for one in summary["utilisation"].values()]
    waits = [share for share in waited if share is not None]
    tiles = [
        ("outcome", str(summary["outcome"]).replace("_", " ")),
        ("requests completed", f"{requests['completed']:,} of {requests['submitted']:,}"),
        ("errors", _percent(rates["error_rate"])),
        ("time to first token, p50 / p99", _pair(latency["ttft_s"])),
        ("time per output token, p50 / p99", _pair(latency["tpot_s"])),
        ("end to end, p50 / p99", _pair(latency["e2e_s"])),
        ("output tokens per second", _number(rates["output_tokens_per_s"])),
        ("waiting for the slowest rank, worst instance", _percent(max(waits, default=None))),
    ]
    if rates["goodput_per_s"] is not None:
        tiles.insert(3, ("within the SLO", _percent(rates["slo_attainment"])))
    if rates.get("received_hit_rate") is not None:
        tiles.append(("KV that receivers had already", _percent(rates["received_hit_rate"])))
    return tiles


def _pair(found: Any) -> str:
    if found["p50"] is None:
        return NOTHING
    return f"{duration_text(found['p50'])} / {duration_text(found['p99'])}"


def duration_text(seconds: float) -> str:
    """With three digits and its unit."""
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if seconds * factor >= 1 or unit == "µs":
            return f"{seconds * factor:.3g} {unit}"
    return ""


def _percent(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.1%}"


def _number(value: float | None) -> str:
    return NOTHING if value is None else f"{value:,.0f}"


def _causes(run: RunData) -> str:
    """How requests ended and why, as a table with a bar each; numbers in a cause make no other."""
    if not len(run.outcomes):
        return "<p>No request has ended.</p>"
    groups: Counter[tuple[str, str]] = Counter()
    examples: dict[tuple[str, str], list[int]] = {}
    numbers = run.requests["request_id"]
    pairs, where, counts = np.unique(
        np.stack([run.outcomes, run.causes]), axis=1, return_inverse=True, return_counts=True
    )
    where = where.reshape(-1)
    for place in range(pairs.shape[1]):
        outcome, cause = pairs[:, place]
        text = re.sub(r"\d+(\.\d+)?", "#", run.cause_texts[cause])
        key = (OUTCOMES[outcome].value, text)
        groups[key] += int(counts[place])
        own = examples.setdefault(key, [])
        own += numbers[np.flatnonzero(where == place)[:MOST_EXAMPLES]].tolist()
    whole = len(run.outcomes)
    rows = [
        _cause_row(key, count, whole, sorted(examples[key])[:MOST_EXAMPLES])
        for key, count in groups.most_common(MOST_CAUSES)
    ]
    more = len(groups) - len(rows)
    tail = f"<p>and {more} rarer causes</p>" if more > 0 else ""
    return (
        "<table class='causes'><thead><tr><th>outcome</th><th>cause</th><th class='number'>requests"
        "</th><th>share</th><th>such as request</th></tr></thead><tbody>"
        + "".join(rows)
        + f"</tbody></table>{tail}"
        + _story_hint(run)
    )


def _cause_row(key: tuple[str, str], count: int, whole: int, examples: list[int]) -> str:
    outcome, cause = key
    share = count / whole
    completed = outcome == Outcome.COMPLETED.value
    told = escape(cause) or ("all tokens were made" if completed else "not told")
    named = "" if completed else ", ".join(map(str, examples))
    return (
        f"<tr><td><span class='dot {escape(outcome)}'></span>{escape(outcome.replace('_', ' '))}"
        f"</td><td>{told}</td><td class='number'>{count:,}</td><td><span class='bar'>"
        f"<span class='fill {escape(outcome)}' style='width:{share:.1%}'></span></span>"
        f" {share:.1%}</td><td>{named}</td></tr>"
    )


def _story_hint(run: RunData) -> str:
    if run.folder is None or run.ended_as(Outcome.COMPLETED).all() or not run.has_events:
        return ""
    return (
        "<p>What happened to one of them: <code>adpkv story NUMBER --out "
        f"{escape(shlex.quote(str(run.folder)))}</code></p>"
    )


def _violations(run: RunData) -> str:
    found = run.summary["violations"]
    if not found:
        return ""
    rows = "".join(
        f"<tr><td>{escape(one['kind'])}</td><td class='number'>{one['rank']}</td>"
        f"<td class='number'>{one['at_s']:.3f}</td><td>{escape(one['detail'])}</td></tr>"
        for one in found[:MOST_CAUSES]
    )
    more = len(found) - MOST_CAUSES
    return (
        "<h3>Violations of the contract</h3><table><thead><tr><th>kind</th>"
        "<th class='number'>rank</th><th class='number'>at (s)</th><th>what</th></tr></thead>"
        f"<tbody>{rows}</tbody></table>{f'<p>and {more} more</p>' if more > 0 else ''}"
    )
