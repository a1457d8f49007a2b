"""What is in a trace: its arrivals, lengths, reuse and sessions, as figures and as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, Final

from adpkv.config.units import SECOND, duration_text
from adpkv.counting import counted
from adpkv.workload.cancels import NO_CANCEL_NS
from adpkv.workload.traces import FIRST, Trace

__all__ = ["described", "described_lines", "own_blocks", "reuse_of"]

PERCENTILES: Final = (50, 90, 99)
REUSE_BLOCK_TOKENS: Final = 64
"""Reuse is told for blocks of so many tokens where the trace has no blocks of its own."""


def described(trace: Trace) -> dict[str, Any]:
    """The figures of a trace, for JSON. Times are in seconds, lengths in tokens."""
    return {
        "requests": len(trace),
        "arrivals": _arrivals(trace),
        "prompt_tokens": _spread(trace.prompt_tokens),
        "output_tokens": _spread(trace.output_tokens),
        "reuse": reuse_of(trace, own_blocks(trace)),
        "sessions": _sessions(trace),
        "cancelled": sum(1 for one in trace.cancel_ns if one != NO_CANCEL_NS),
    }


def described_lines(figures: dict[str, Any]) -> list[str]:
    """The same as sentences for people."""
    arrivals, reuse, sessions = (figures[key] for key in ("arrivals", "reuse", "sessions"))
    lines = [counted(figures["requests"], "request")]
    if arrivals["recorded"]:
        rate = f", {arrivals['rate_per_s']:.3g}/s on average" if arrivals["rate_per_s"] else ""
        varies = f", gaps vary by {arrivals['gap_cv']:.2f}" if arrivals["gap_cv"] else ""
        span = duration_text(round(arrivals["span_s"] * SECOND))
        lines.append(
            f"arrivals: {arrivals['recorded']:,} over {span}{rate}, most in a second"
            f" {arrivals['most_in_a_second']:,}{varies}"
        )
    for key in ("prompt_tokens", "output_tokens"):
        spread = figures[key]
        shown = ", ".join(f"p{p} {spread[f'p{p}']:,}" for p in PERCENTILES)
        title = key.replace("_", " ")
        lines.append(
            f"{title}: {spread['min']:,} to {spread['max']:,}, mean {spread['mean']:,.0f}, {shown}"
        )
    lines.append(
        f"reuse: {100 * reuse['share']:.1f} % of the prompt tokens were there before, in blocks of"
        f" {reuse['block_tokens']} tokens and with room for all"
        if reuse["known_share"]
        else "reuse: none that the trace tells"
    )
    if sessions["count"]:
        lines.append(
            f"sessions: {sessions['count']:,} of several turns, {sessions['turns_mean']:.1f} turns"
            f" on average, {sessions['turns_max']:,} at most, think time p50"
            f" {duration_text(round(sessions['think_p50_s'] * SECOND))}"
        )
    else:
        lines.append("sessions: none whose turns follow one another")
    if figures["cancelled"]:
        lines.append(f"cancelled by their clients: {figures['cancelled']:,}")
    return lines


def _arrivals(trace: Trace) -> dict[str, Any]:
    """Of the requests that have a recorded time."""
    at_ns = [one for one in trace.at_ns if one >= 0]
    gaps = [later - earlier for earlier, later in pairwise(at_ns)]
    span_ns = at_ns[-1] - at_ns[0] if at_ns else 0
    seconds: dict[int, int] = {}
    for one in at_ns:
        seconds[one // SECOND] = seconds.get(one // SECOND, 0) + 1
    mean = span_ns / len(gaps) if gaps else 0.0
    variance = sum((gap - mean) ** 2 for gap in gaps) / len(gaps) if gaps else 0.0
    return {
        "recorded": len(at_ns),
        "span_s": span_ns / SECOND,
        "rate_per_s": len(gaps) * SECOND / span_ns if span_ns else None,
        "most_in_a_second": max(seconds.values(), default=0),
        "gap_cv": variance**0.5 / mean if mean else None,
    }


def _spread(column: Iterable[int]) -> dict[str, Any]:
    ordered = sorted(column)
    nearest = {f"p{p}": _nearest(ordered, p) for p in PERCENTILES}
    mean = sum(ordered) / len(ordered)
    return {"min": ordered[0], **nearest, "max": ordered[-1], "mean": mean}


def _nearest(ordered: Sequence[int], percent: int) -> int:
    """The nearest rank, as in docs/metrics.md."""
    return ordered[-(-len(ordered) * percent // 100) - 1]


def own_blocks(trace: Trace) -> int:
    """Tokens of a block in which reuse is told: the trace's own, where it has such."""
    return trace.hash_tokens if trace.hash_tokens > 1 else REUSE_BLOCK_TOKENS


def reuse_of(trace: Trace, block_tokens: int) -> dict[str, Any]:
    """How much of the prompts an unbounded cache would have: the longest known beginning of each
    that came before."""
    seen: set[int] = set()
    found = blocks = 0
    for number in range(len(trace)):
        hashes = trace.hashes(number, block_tokens)
        blocks += len(hashes)
        known = 0
        while known < len(hashes) and hashes[known] in seen:
            known += 1
        found += known
        seen.update(hashes[known:])
    prompt = sum(trace.prompt_tokens)
    return {
        "block_tokens": block_tokens,
        "share": found * block_tokens / prompt,
        "known_share": blocks * block_tokens / prompt,
        "blocks": len(seen),
    }


def _sessions(trace: Trace) -> dict[str, Any]:
    turns: dict[int, int] = {}
    first: dict[int, int] = {}
    thoughts = []
    for row, before in enumerate(trace.follows):
        first[row] = row if before == FIRST else first[before]
        turns[first[row]] = turns.get(first[row], 0) + 1
        if before != FIRST:
            thoughts.append(trace.think_ns[row])
    several = [count for count in turns.values() if count > 1]
    return {
        "count": len(several),
        "turns_mean": sum(several) / len(several) if several else None,
        "turns_max": max(several, default=None),
        "think_p50_s": _nearest(sorted(thoughts), 50) / SECOND if thoughts else None,
    }
