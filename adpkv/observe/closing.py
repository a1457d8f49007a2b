"""What a run says when it is over: a table per instance, latencies, the outcome in a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from adpkv.observe.faults import COULD_NEVER

if TYPE_CHECKING:
    from rich.box import Box
    from rich.console import Console
    from rich.table import Table

__all__ = ["closing_sentence", "show_closing"]

Summary = Mapping[str, Any]
"""`summary.json` as `build_summary` makes it."""

LATENCIES: Final = {
    "ttft_s": "time to first token",
    "tpot_s": "time per output token",
    "e2e_s": "end to end",
    "kv_transfer_s": "KV transfer",
    "queue_wait_s": "queue wait",
}
STATISTICS: Final = ("p50", "p90", "p99", "mean", "max")
FEWER_STATISTICS: Final = ("p50", "p99", "max")
NARROW_COLUMNS: Final = 80
"""Below this width the tables leave columns out: a number broken over lines is no number."""

PLAIN_COLUMNS: Final = 120
"""Width of the tables where there is no terminal, so that a log has no broken lines."""


def show_closing(console: Console, summary: Summary, folder: Path | None = None) -> None:
    """Print tables and sentence, and where the files are."""
    from rich import box

    lines = box.SIMPLE_HEAD if console.is_terminal else None
    if lines is None:
        console.width = max(console.width, PLAIN_COLUMNS)
    narrow = console.width < NARROW_COLUMNS
    console.print(_instances(summary, lines, narrow))
    console.print(_latencies(summary, lines, FEWER_STATISTICS if narrow else STATISTICS))
    if summary["violations"] and folder is not None:
        _stories(console, folder)
    good = summary["exit_code"] == 0
    console.print(
        closing_sentence(summary),
        style="bold green" if good else "bold red",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    for sentence in summary["unfired"]:
        if COULD_NEVER in sentence:
            console.print(
                f"warning: {sentence}",
                style="yellow",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
    if folder is not None:
        console.print(f"files: {folder}", markup=False, highlight=False, soft_wrap=True)


def _stories(console: Console, folder: Path) -> None:
    """What happened to the requests that the violations concern."""
    from adpkv.errors import UsageError
    from adpkv.observe.folder import RunFolder
    from adpkv.observe.story import concerned
    from adpkv.observe.story_text import stories

    run = RunFolder(folder)
    try:
        requests = concerned(run)
    except UsageError:
        return  # the run was made without events
    width = console.width if console.is_terminal else None
    for line in stories(run, requests, width):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def closing_sentence(summary: Summary) -> str:
    """The outcome in one sentence: what was served, in what time, and what is wrong."""
    requests = summary["requests"]
    said = [f"{requests['completed']} of {requests['submitted']} requests completed"]
    for key in ("cancelled", "timed_out", "failed"):
        if requests[key]:
            said.append(f"{requests[key]} {key.replace('_', ' ')}")
    told = f"{summary['outcome']}: {', '.join(said)} in {_time_taken(summary)}"
    return f"{told}; {'; '.join(_oddities(summary)) or 'no violation, nothing leaked'}."


def _time_taken(summary: Summary) -> str:
    wall = f"{summary['wall_s']:.1f} s"
    if summary["simulated_s"] is None:
        return wall
    return f"{summary['simulated_s']:.1f} s of virtual time ({wall})"


def _oddities(summary: Summary) -> list[str]:
    """Everything that a clean run does not have."""
    violations, health = summary["violations"], summary["health"]
    found = []
    if summary["lost"]:
        ranks = ", ".join(map(str, summary["lost"]))
        found.append(f"rank {ranks} died" if len(summary["lost"]) == 1 else f"ranks {ranks} died")
    if summary["recomputed"]:
        found.append(f"{_count(summary['recomputed'], 'request')} computed again")
    if violations:
        first = violations[0]
        found.append(
            f"{_count(len(violations), 'violation')}, the first of kind {first['kind']} on rank"
            f" {first['rank']} at {first['at_s']:.3f} s: {first['detail']}"
        )
    leaked = sum(blocks["leaked"] for blocks in summary["blocks"].values())
    if leaked:
        found.append(f"{_count(leaked, 'block')} leaked")
    if summary["responses"]["duplicates"]:
        found.append(_count(summary["responses"]["duplicates"], "duplicate response"))
    if summary["transfers"]["quarantined_now"]:
        found.append(_count(summary["transfers"]["quarantined_now"], "transfer") + " in quarantine")
    if health["reasons"]:
        found.append(f"unhealthy: {', '.join(health['reasons'])}")
    return found


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _instances(summary: Summary, lines: Box | None, narrow: bool) -> Table:
    blocks: Mapping[str, Mapping[str, int]] = summary["blocks"]
    keys = list(next(iter(blocks.values()), {}))
    if narrow:
        keys = [key for key in keys if any(counts[key] for counts in blocks.values())]
    table = _table("KV blocks", [key.replace("_", " ") for key in keys], lines)
    for name, counts in blocks.items():
        table.add_row(name, *(f"{counts[key]:,}" for key in keys))
    return table


def _latencies(summary: Summary, lines: Box | None, statistics: Sequence[str]) -> Table:
    table = _table("latency", statistics, lines)
    for key, name in LATENCIES.items():
        table.add_row(name, *(_duration(summary["latency"][key][p]) for p in statistics))
    return table


def _table(first: str, columns: Sequence[str], lines: Box | None) -> Table:
    from rich.table import Table

    table = Table(box=lines, pad_edge=False)
    table.add_column(first, no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    if seconds >= 1:
        return f"{seconds:.2f} s"
    if seconds >= 1e-3:
        return f"{seconds * 1e3:.2f} ms"
    return f"{seconds * 1e6:.1f} µs"
