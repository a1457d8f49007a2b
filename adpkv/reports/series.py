"""Columns of numbers over time, in a bounded number of bins, whatever the length of the run."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

__all__ = ["BINS", "counts_in", "edges_of", "held_until", "mean_overlap", "rate_between", "rounded"]

Numbers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

BINS: Final = 240
"""How many bins the time of a run has in a plot: about as many as a screen can show."""


def edges_of(end_ns: int, bins: int = BINS) -> Floats:
    """The edges of so many equal bins from 0 to the end."""
    return np.linspace(0.0, float(end_ns), bins + 1)


def mean_overlap(starts: Numbers, ends: Numbers, edges: Floats) -> Floats:
    """How many of the intervals are open in each bin, as a mean over the bin's time. So what is
    shorter than a bin counts for what it is."""
    open_time = _time_since(starts, edges) - _time_since(ends, edges)
    found: Floats = np.diff(open_time) / np.diff(edges)
    return np.maximum(found, 0.0)


def _time_since(at: Numbers, edges: Floats) -> Floats:
    """For each edge the sum over all times before it of the time since then."""
    ordered = np.sort(at).astype(np.float64)
    before = np.searchsorted(ordered, edges, side="right")
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    found: Floats = before * edges - sums[before]
    return found


def counts_in(at: Numbers, edges: Floats) -> Floats:
    """How many of the times are in each bin."""
    return np.histogram(at, edges)[0].astype(np.float64)


def rate_between(at: Numbers, totals: Numbers, edges: Floats) -> Floats:
    """How fast a total grows in each bin, per nanosecond: between two of its readings evenly."""
    if not len(at):
        return np.zeros(len(edges) - 1)
    at_edges = np.interp(edges, at.astype(np.float64), totals.astype(np.float64))
    found: Floats = np.diff(at_edges) / np.diff(edges)
    return found


def held_until(at: Numbers, values: Numbers, edges: Floats) -> Floats:
    """A state at the end of each bin. A reading says how it was since the reading before it, so
    the next one counts; after the last it stays."""
    if not len(at):
        return np.zeros(len(edges) - 1)
    place = np.searchsorted(at, edges[1:], side="left")
    return values[np.minimum(place, len(at) - 1)].astype(np.float64)


def rounded(values: Floats, digits: int = 4) -> list[float | None]:
    """As JSON has them, with so many significant digits; None for what is no number."""
    return [float(f"{value:.{digits}g}") if np.isfinite(value) else None for value in values]
