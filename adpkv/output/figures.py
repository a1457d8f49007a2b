"""The figures of a run as tables: latency, where a request's time goes, throughput, utilisation.

Each is defined in docs/metrics.md under the key that it has in `summary.json`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from adpkv.core.columns import COLUMNS
from adpkv.output.tables import Table

__all__ = ["COLUMN_TITLES", "figure_tables"]

LATENCIES: Final = {
    "ttft_s": "time to first token",
    "context_ttft_s": "  at the context server",
    "itl_s": "between tokens",
    "tpot_s": "time per output token",
    "e2e_s": "end to end",
}
COLUMN_TITLES: Final = {
    column: column.replace("_", " ").replace("kv", "KV").replace("hand over", "hand-over")
    for column in COLUMNS
} | {"block_wait": "seat, block wait"}
STATISTICS: Final = ("p50", "p90", "p99", "mean", "max")
RATES: Final = {
    "requests_per_s": "requests/s",
    "output_tokens_per_s": "output tokens/s",
    "prompt_tokens_per_s": "prompt tokens/s",
    "goodput_per_s": "goodput/s",
}
SHARES: Final = {
    "error_rate": "errors",
    "prefix_hit_rate": "prefix hits",
    "received_hit_rate": "KV not sent",
    "slo_attainment": "within the SLO",
}
NOTHING: Final = "-"


def figure_tables(summary: Mapping[str, Any]) -> list[Table]:
    """In the order in which they are shown."""
    return [_latencies(summary), _columns(summary), _rates(summary), _utilisation(summary)]


def _latencies(summary: Mapping[str, Any]) -> Table:
    latency = summary["latency"]
    return Table(
        ["latency", *STATISTICS],
        [
            [title, *(_duration(latency[key][p]) for p in STATISTICS)]
            for key, title in LATENCIES.items()
        ],
    )


def _columns(summary: Mapping[str, Any]) -> Table:
    """Where the time went: the means, and so the shares, add up to the whole."""
    latency = summary["latency"]
    whole = latency["e2e_s"]["mean"]
    rows = []
    for column in COLUMNS:
        found = latency[f"{column}_s"]
        if column == "lost_attempts" and not found["max"]:
            continue  # nothing was lost
        share = found["mean"] / whole if whole and found["mean"] is not None else None
        row = [COLUMN_TITLES[column], *(_duration(found[p]) for p in STATISTICS)]
        rows.append([*row, _percent(share)])
    return Table(["a request's time", *STATISTICS, "share"], rows)


def _rates(summary: Mapping[str, Any]) -> Table:
    rates = summary["rates"]
    shown = {title: _number(rates[key]) for key, title in RATES.items()}
    shown |= {title: _percent(rates.get(key)) for key, title in SHARES.items()}
    if rates["goodput_per_s"] is None:
        del shown[RATES["goodput_per_s"]], shown[SHARES["slo_attainment"]]
    if rates.get("received_hit_rate") is None:
        del shown[SHARES["received_hit_rate"]]
    return Table(["throughput", *shown], [["all instances", *shown.values()]])


def _utilisation(summary: Mapping[str, Any]) -> Table:
    return Table(
        ["utilisation", "in steps", "step wait", "steps", "tokens per step"],
        [
            [
                name,
                _percent(found["step_share"]),
                _percent(found["step_wait_share"]),
                f"{found['steps']:,}",
                _number(found["tokens_per_step"]),
            ]
            for name, found in summary["utilisation"].items()
        ],
    )


def _number(value: float | None) -> str:
    if value is None:
        return NOTHING
    return f"{value:,.1f}" if abs(value) < 1000 else f"{value:,.0f}"


def _percent(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.1%}"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return NOTHING
    if seconds >= 1:
        return f"{seconds:.2f} s"
    if seconds >= 1e-3:
        return f"{seconds * 1e3:.2f} ms"
    return f"{seconds * 1e6:.1f} µs"
