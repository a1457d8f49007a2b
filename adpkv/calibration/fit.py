"""Fits a calibration to the samples of runs: what can be measured directly.

An iteration with a step takes as long as its slowest rank's step, its small collectives, and the
rest: a part that each has, parts for what its busiest rank did (each request that it decodes, asks
for or answers, each post and each end of a transfer; least squares without negative parts), stalls,
and noise, which is kept as quantiles. All parts
of an iteration add up to the time from its intake to the next one's, so nothing is counted twice
and nothing is left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import median
from typing import Any, Final

import numpy as np

from adpkv.calibration.samples import COUNTED, IterationSample, RunSamples
from adpkv.calibration.stalls import nanoseconds, stalls_of, told, usual
from adpkv.calibration.ways import FEWEST, Look, arrived_after
from adpkv.config.calibration import (
    PROBABILITIES,
    CalibrationConfig,
    StepCalibration,
)

__all__ = ["fitted"]

COLLECTIVES: Final = 4
"""Collectives of an iteration with a step, that of the step included."""

SMALL: Final = 3
"""Those before an iteration's step or wait."""

SHORTEST_NS: Final = 30_000
"""From a call of MPI until another process can see what it sent: too short to be told apart from
when that process looks."""

CUT: Final = 0.995
"""The slowest steps of all do not decide about their coefficients; they are in the noise."""

USUAL, REFITS = 0.9, 5
"""Nor does the slowest tenth of the iterations about their parts: fitted again without them."""

LEAST_SHARE: Final = 0.02
"""A coefficient of a step whose part in steps is less than this is taken as right."""

Array = np.ndarray[Any, np.dtype[np.float64]]


def fitted(runs: Sequence[RunSamples]) -> CalibrationConfig:
    """The calibration that these runs show."""
    step = _step(runs)
    by_size: dict[int, list[IterationSample]] = defaultdict(list)
    for run in runs:
        for one in run.iterations:
            by_size[one.ranks].append(one)
    collective_ns = {size: _collective_ns(runs, size) for size in by_size}
    rest = {
        size: np.array([_rest_ns(one, step, collective_ns[size]) for one in them])
        for size, them in by_size.items()
    }
    slopes = _parts(by_size, rest)
    groups = [
        _group(size, them, rest[size], collective_ns[size], _idle_ns(runs, size), slopes)
        for size, them in sorted(by_size.items())
    ]
    way_ns = _arrived([one for run in runs for one in run.addresses])[PROBABILITIES.index(0.5)]
    section: dict[str, Any] = {
        "step": step.model_dump(by_alias=True),
        "start": nanoseconds(_middle([run.start_ns for run in runs], 0.0)),
        "groups": groups,
        "requests": {
            "advertised": _fine(slopes[5]),
            "advertised_per_kib": _fine(slopes[6]),
            "answered": _fine(slopes[7]),
        },
        "messages": {
            "to_coordinator": _spread([ns for run in runs for ns in run.to_coordinator]),
            "beside_coordinator": _spread([ns for run in runs for ns in run.beside_coordinator]),
            "from_coordinator": told(
                _arrived([one for run in runs for one in run.from_coordinator])
            ),
            "between_ranks": _spread([ns + way_ns for run in runs for ns in run.between_ranks]),
            # Without those that a stall held up, which is there by itself.
            "notice": _spread(
                usual([max(ns - SHORTEST_NS, 0) for run in runs for ns in run.notices])
            ),
        },
        "transfers": {
            "post": nanoseconds(slopes[1]),
            "post_per_kib": _fine(slopes[2]),
            "notice": nanoseconds(slopes[3]),
            "notice_per_kib": _fine(slopes[4]),
            "latency": nanoseconds(
                # The iteration that sees it may have begun before it was there.
                SHORTEST_NS
                + _middle([ns for run in runs for ns in run.posted], 0.0)
                - _middle([ns for run in runs for ns in run.seen], 0.0)
            ),
            "bandwidth": _bandwidth(runs),
        },
    }
    return CalibrationConfig.model_validate(section)


def _step(runs: Sequence[RunSamples]) -> StepCalibration:
    """What steps take beyond the model's coefficients: by least squares, without what is small."""
    samples = [one for run in runs for one in run.steps]
    over = np.array([one.own_ns - one.line_ns for one in samples])
    batches = np.array([one.batch for one in samples], dtype=np.float64)
    keep = over <= np.quantile(over, CUT)
    columns = [np.ones(len(samples)), *batches.T]
    # What never changes cannot be told from what each step has.
    told = [0, *(place for place in range(1, 5) if np.ptp(columns[place]) > 0)]
    found = np.zeros(5)
    found[told] = _least_squares(np.array([columns[place] for place in told]).T[keep], over[keep])
    whole = float(np.mean([one.line_ns for one in samples]))
    for place in range(1, 5):
        part = found[place] * float(np.mean(columns[place]))
        if part < LEAST_SHARE * whole:
            found[place] = 0.0
    base_ns = float(np.median(over - np.array(columns[1:]).T @ found[1:]))
    added = (base_ns, *found[1:])
    aliases = [str(field.alias) for field in StepCalibration.model_fields.values()]
    return StepCalibration.model_validate(dict(zip(aliases, map(_fine, added), strict=True)))


def _collective_ns(runs: Sequence[RunSamples], size: int) -> float:
    return _middle([ns for run in runs for ns in run.collectives.get(size, ())], 0.0)


def _idle_ns(runs: Sequence[RunSamples], size: int) -> float:
    return _middle([ns for run in runs for ns in run.idle.get(size, ())], 0.0)


def _rest_ns(one: IterationSample, step: StepCalibration, collective_ns: float) -> float:
    """What an iteration took beside its step and its collectives."""
    added = (
        step.base_ns, step.prefill_token_ns, step.prefill_pair_ns, step.sequence_ns,
        step.context_token_ns,
    )  # fmt: skip
    slowest = max(
        line + sum(float(ns) * count for ns, count in zip(added, (1, *batch), strict=True))
        for line, batch in one.lines
    )
    return one.took_ns - slowest - COLLECTIVES * collective_ns


def _parts(by_size: dict[int, list[IterationSample]], rest: dict[int, Array]) -> Array:
    """What each of `COUNTED` adds, on the rank that it holds up the longest."""
    sizes = sorted(by_size)
    which = np.array(
        [[float(size == one) for one in sizes] for size in sizes for _ in by_size[size]]
    )
    right = np.concatenate([rest[size] for size in sizes])
    slopes = np.ones(len(COUNTED))
    keep = np.ones(len(right), dtype=np.bool_)
    for _ in range(REFITS):
        # Which rank that is follows from what each thing adds, and the other way round.
        counts = np.concatenate([slowest(by_size[size], slopes) for size in sizes])
        left = np.hstack([which, counts])
        found = _least_squares(left[keep], right[keep])
        slopes = found[len(sizes) :]
        over = right - left @ found
        keep = over <= np.quantile(over, USUAL)
    return slopes


def slowest(them: Sequence[IterationSample], slopes: Array) -> Array:
    """What is counted on the rank that it holds up the longest, for each iteration."""
    found = np.zeros((len(them), len(COUNTED)))
    for place, one in enumerate(them):
        if one.counts:
            found[place] = max(one.counts.values(), key=lambda own: float(slopes @ own))
    return found


def _group(
    size: int,
    them: Sequence[IterationSample],
    rest: Array,
    collective_ns: float,
    idle_ns: float,
    slopes: Array,
) -> dict[str, Any]:
    noise = rest - slowest(them, slopes) @ slopes
    stalls, steady = stalls_of(them, noise)
    noise = noise[steady]
    quantiles = np.quantile(noise, PROBABILITIES)
    # What all iterations have is no noise: but for the fastest ones, of which there are few.
    always = max(float(np.quantile(noise, 0.02)), 0.0)
    jitter = np.maximum(quantiles - always, 0.0)
    return {
        "ranks": size,
        "collective": nanoseconds(collective_ns),
        "iteration": nanoseconds(always),
        "per_sequence": _fine(slopes[0]),
        "idle": nanoseconds(idle_ns - SMALL * collective_ns),
        "jitter": told(jitter),
        "stalls": stalls,
    }


def _spread(values: Sequence[float]) -> dict[str, str]:
    return told(np.quantile(values, PROBABILITIES)) if values else {}


def _bandwidth(runs: Sequence[RunSamples]) -> str:
    """As the experiments say: what a transfer takes for its bytes is in posts and notices."""
    return f"{max(run.experiment.transceiver.link.bandwidth_bytes_per_s for run in runs)}B"


def _least_squares(rows: Array, values: Array) -> Array:
    """The least squares solution without negative parts: columns whose part would be negative
    leave, the worst first."""
    there = list(range(rows.shape[1]))
    found = np.zeros(rows.shape[1])
    while there:
        solution = np.linalg.lstsq(rows[:, there], values, rcond=None)[0]
        worst = int(np.argmin(solution))
        if solution[worst] >= 0:
            found[there] = solution
            break
        del there[worst]
    return found


def _arrived(looks: Sequence[Look]) -> list[float]:
    """How long messages are under way, as quantiles."""
    if len(looks) < FEWEST:
        return [float(SHORTEST_NS)] * len(PROBABILITIES)
    return arrived_after(looks, PROBABILITIES)


def _middle(values: Sequence[float], otherwise: float) -> float:
    return float(median(values)) if values else otherwise


def _fine(ns: float) -> str:
    return f"{max(ns, 0.0):.3f}ns"
